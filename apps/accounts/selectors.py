"""Reads of users and credentials."""

from contextlib import suppress
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from oauth2_provider.models import AccessToken

from apps.accounts import keys
from apps.accounts.domain import AccessClaims, CredentialRecord
from apps.accounts.models import ApiKey, Application, Session, User
from apps.core.errors import ConfigurationError, InvalidCredential
from apps.core.http.caller import API_KEY, JWT, KEY_SCOPES, OAUTH2


def find_key(presented: str) -> CredentialRecord:
    """The key whose text is ``presented``, if it is good now by the database's clock. At most two queries.

    Unknown, wrong, expired, revoked and inactive owner take the same steps and end in the same error: what is not
    good is not found, and what is not found is still hashed and compared.

    Raises:
        InvalidCredential: the text is not a key that works now; the error does not say why.
    """
    parsed = keys.parse(presented)
    row = _good_keys().filter(pk=parsed.id, owner_id=parsed.owner).first()
    if not keys.matches(presented, row.digest if row else keys.NO_DIGEST, pepper()) or row is None:
        raise InvalidCredential
    return CredentialRecord(
        kind=API_KEY,
        id=row.id,
        user_id=row.owner_id,
        roles=roles_of(row.owner_id),
        scopes=KEY_SCOPES if row.scopes is None else frozenset(row.scopes),
        org_id=row.org_id,
        allowed_models=None if row.allowed_models is None else frozenset(row.allowed_models),
        allowed_networks=None if row.allowed_networks is None else tuple(row.allowed_networks),
        budget=row.budget,
        expires_at=row.expires_at,
    )


def find_access(claims: AccessClaims) -> CredentialRecord:
    """What a verified access token still stands for: its user's version, its session or client. At most three queries.

    Raises:
        InvalidCredential: the user is inactive or has ended all tokens, the session has ended, the client is gone, or
            the token was revoked.
    """
    user = User.objects.filter(pk=claims.subject, is_active=True, token_version=claims.token_version).first()
    if user is None:
        raise InvalidCredential
    roles = roles_of(user.pk)
    if claims.kind == JWT:
        if not Session.objects.filter(pk__in=_uuids(claims.session_id), user=user, ended_at=None).exists():
            raise InvalidCredential
        return CredentialRecord(JWT, claims.session_id, user.pk, roles, claims.scopes, expires_at=claims.expires_at)
    return _of_client(claims, roles)


def _of_client(claims: AccessClaims, roles: tuple[str, ...]) -> CredentialRecord:
    token = AccessToken.objects.filter(token_checksum=claims.checksum).select_related("application").first()
    client: Application | None = token.application if token else None
    if client is None or client.client_id != claims.client_id:
        raise InvalidCredential
    own = client.user_id == claims.subject
    return CredentialRecord(
        OAUTH2, claims.client_id, claims.subject, roles, claims.scopes, org_id=client.org_id if own else None,
        client_id=claims.client_id, expires_at=claims.expires_at,
    )  # fmt: skip


def roles_of(user_id: UUID) -> tuple[str, ...]:
    """Names of a user's roles, sorted."""
    granted = User.roles.through.objects.filter(user=user_id)
    return tuple(granted.values_list("role__name", flat=True).order_by("role__name"))


def signed_in_at(user: User, session_id: str) -> datetime:
    """When ``user`` opened this browser session; without one, when they last signed in anywhere."""
    here = Session.objects.filter(pk__in=_uuids(session_id), user=user, kind=Session.Kind.BROWSER)
    return here.values_list("created_at", flat=True).first() or user.last_login or user.date_joined


def database_now() -> datetime:
    """The database's clock, which stamps sign-ins: processes on several machines compare with it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        (now,) = cursor.fetchone()
    moment: datetime = now
    return moment


def _uuids(text: str) -> list[UUID]:
    """The id that ``text`` is, if it is one."""
    with suppress(ValueError):
        return [UUID(text)]
    return []


def pepper() -> str:
    """The secret beside the database that makes digests useless without it. Read here and nowhere else.

    Raises:
        ConfigurationError: it is not set.
    """
    if not settings.KEY_PEPPER:
        raise ConfigurationError("LEAKY_KEY_PEPPER must be set before keys can be made or checked")
    return str(settings.KEY_PEPPER)


def _good_keys() -> QuerySet[ApiKey]:
    unexpired = Q(expires_at=None) | Q(expires_at__gt=Now())
    return ApiKey.objects.filter(unexpired, revoked_at=None, owner__is_active=True)


def find_user(name: str) -> User:
    """The user with this username, e-mail address or id.

    Raises:
        LookupError: there is none, or more than one (somebody's name is another's address).
    """
    named = Q(username=name) | Q(email__iexact=name)
    with suppress(ValueError):
        named |= Q(pk=UUID(name))
    found = list(User.objects.filter(named)[:2])
    if len(found) != 1:
        raise LookupError(f"{len(found) or 'no'} users are called {name!r}")
    return found[0]
