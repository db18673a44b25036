"""Reads of users and keys."""

from contextlib import suppress
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from apps.accounts import keys
from apps.accounts.domain import KeyRecord
from apps.accounts.models import ApiKey, User
from apps.core.errors import ConfigurationError, InvalidCredential


def find_key(presented: str) -> KeyRecord:
    """The key whose text is ``presented``, if it is good now by the database's clock. At most one query.

    Unknown, wrong, expired, revoked and inactive owner take the same steps and end in the same error: what is not
    good is not found, and what is not found is still hashed and compared.

    Raises:
        InvalidCredential: the text is not a key that works now; the error does not say why.
    """
    parsed = keys.parse(presented)
    row = _good_keys().filter(pk=parsed.id, owner_id=parsed.owner).first()
    if not keys.matches(presented, row.digest if row else keys.NO_DIGEST, pepper()) or row is None:
        raise InvalidCredential
    allowed = None if row.allowed_models is None else frozenset(row.allowed_models)
    return KeyRecord(row.id, row.owner_id, row.org_id, allowed, row.expires_at)


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
