"""Applications that act for a user: OAuth2 clients that hold a token of theirs."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from oauth2_provider.models import AccessToken, IDToken, RefreshToken, get_grant_model

from apps.accounts.models import Application, User
from apps.audit.api import Subject, record
from apps.config.api import CREDENTIALS, touch


@dataclass(frozen=True, slots=True)
class Connection:
    """An application and what it may do, as scopes, sorted."""

    client_id: str
    name: str
    scopes: tuple[str, ...]


def connections_of(user: User) -> Sequence[Connection]:
    """The applications that hold a token of ``user``'s that is good or can be renewed, by name. Two queries."""
    usable = Q(expires__gt=Now()) | Q(refresh_token__isnull=False, refresh_token__revoked=None)
    tokens = AccessToken.objects.filter(usable, user=user).exclude(application=None)
    scopes: dict[int, set[str]] = {}
    for application, scope in tokens.values_list("application", "scope"):
        scopes.setdefault(application, set()).update(scope.split())
    found = Application.objects.filter(pk__in=scopes).order_by("name", "client_id")
    return [Connection(row.client_id, row.name, tuple(sorted(scopes[row.pk]))) for row in found]


def redirect_uris_of(client_id: str) -> list[str]:
    """Where the client may have its users sent back to; none if it is unknown."""
    client = Application.objects.filter(client_id=client_id).first()
    return client.redirect_uris.split() if client else []


@transaction.atomic
def disconnect(user: User, client_id: str) -> bool:
    """End everything that the client holds of ``user``'s; False when it holds nothing (then nobody hears of it)."""
    theirs = Q(user=user, application__client_id=client_id)
    ended = RefreshToken.objects.filter(theirs, revoked=None).update(revoked=Now())
    ended += sum(kind.objects.filter(theirs).delete()[0] for kind in (get_grant_model(), AccessToken, IDToken))
    if not ended:
        return False
    record("consent.withdrawn", Subject("client", client_id), {"user_id": str(user.pk)}, None)
    touch(CREDENTIALS, f"user:{user.pk}")
    return True
