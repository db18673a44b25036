"""Reads of users and credentials."""

from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Max, Q, QuerySet
from django.db.models.functions import Now
from oauth2_provider.models import AccessToken

from apps.accounts import keys
from apps.accounts.domain import AccessClaims, CredentialRecord, ExpiredKey
from apps.accounts.models import ApiKey, Application, Session, User
from apps.core.errors import ConfigurationError, InvalidCredential
from apps.core.http.caller import API_KEY, JWT, OAUTH2, Caller


def find_key(presented: str) -> CredentialRecord:
    """The key whose text is ``presented``, if it is good now by the database's clock. At most three queries.

    Whoever has not the secret learns nothing, from the error or from the time: an unknown key takes the same steps as
    a wrong secret.

    Raises:
        InvalidCredential: the text is not a key that works now; the error does not say why.
    """
    row = good_keys().filter(pk=_proven(presented)).first()
    if row is None:
        raise InvalidCredential
    return CredentialRecord(
        kind=API_KEY,
        id=row.id,
        user_id=row.owner_id,
        roles=roles_of(row.owner_id),
        scopes=row.effective_scopes,
        org_id=row.org_id,
        allowed_models=None if row.allowed_models is None else frozenset(row.allowed_models),
        allowed_networks=None if row.allowed_networks is None else tuple(row.allowed_networks),
        budget=row.budget,
        budget_id=row.spends_from,
        expires_at=row.expires_at,
    )


def validate_key(presented: str) -> ApiKey:
    """The key whose text is ``presented``, for who asks whether it is good.

    Raises:
        ExpiredKey: it was.
        InvalidCredential: it is not, for another reason.
    """
    row = ApiKey.objects.filter(pk=_proven(presented), revoked_at=None, owner__is_active=True).first()
    if row is None:
        raise InvalidCredential
    if not good_keys().filter(pk=row.pk).exists():
        raise ExpiredKey
    return row


def _proven(presented: str) -> str:
    """The id of the key whose text is ``presented``, good or not. One query, one answer of one size, one HMAC.

    Raises:
        InvalidCredential: there is none.
    """
    parsed = keys.parse(presented)
    named = ApiKey.objects.filter(pk=parsed.id, owner_id=parsed.owner)
    # An aggregate always answers with a row; reading a key that is there would take longer than reading none.
    stored = named.aggregate(digest=Max("digest", default=keys.NO_DIGEST))["digest"]
    if not keys.matches(presented, stored, pepper()):
        raise InvalidCredential
    return parsed.id


def keys_of(owner_id: UUID, *, org_id: UUID | None = None, limit: int | None = None, after: str = "") -> list[ApiKey]:
    """A user's keys that were not revoked, newest first, at most ``limit``; those made before the key ``after``.

    ``org_id`` restricts them to those that this organisation pays for.

    Raises:
        LookupError: ``after`` is no key of this user's.
    """
    rows = ApiKey.objects.filter(owner_id=owner_id, revoked_at=None).order_by("-created_at", "-pk")
    if org_id is not None:
        rows = rows.filter(org_id=org_id)
    if after:
        last = ApiKey.objects.filter(pk=after, owner_id=owner_id).first() if keys.is_id(after) else None
        if last is None:
            raise LookupError("no such key")
        rows = rows.filter(Q(created_at__lt=last.created_at) | Q(created_at=last.created_at, pk__lt=after))
    return list(rows[:limit])


def find_key_for(caller: Caller, key_id: str, org_ids: Collection[UUID] = ()) -> ApiKey:
    """The key, if it was not revoked and is the caller's to manage: an ADMIN's, the owner's, or of ``org_ids``.

    A credential that is bound to an organisation reaches keys of that one only.

    Raises:
        LookupError: there is none such.
    """
    mine = Q() if caller.is_admin else Q(owner_id=caller.user_id) | Q(org_id__in=org_ids)
    if caller.org_id is not None:
        mine &= Q(org_id=caller.org_id)
    row = ApiKey.objects.filter(mine, pk=key_id, revoked_at=None).first() if keys.is_id(key_id) else None
    if row is None:
        raise LookupError("api key not found")
    return row


def may_issue_keys(caller: Caller) -> bool:
    """Whether the caller's credential is not itself limited in ways that a key it makes could escape."""
    if caller.kind != API_KEY:
        return True
    no_lists = ApiKey.objects.filter(allowed_models__isnull=True, allowed_networks__isnull=True)
    return no_lists.filter(pk=caller.credential_id, budget=None, expires_at=None).exists()


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
        return CredentialRecord(
            JWT, claims.session_id, user.pk, roles, claims.scopes, expires_at=claims.expires_at,
            token_version=claims.token_version,
        )  # fmt: skip
    return _of_client(claims, roles)


def _of_client(claims: AccessClaims, roles: tuple[str, ...]) -> CredentialRecord:
    token = AccessToken.objects.filter(token_checksum=claims.checksum).select_related("application").first()
    client: Application | None = token.application if token else None
    if client is None or client.client_id != claims.client_id:
        raise InvalidCredential
    own = client.user_id == claims.subject
    return CredentialRecord(
        OAUTH2, claims.client_id, claims.subject, roles, claims.scopes, org_id=client.org_id if own else None,
        client_id=claims.client_id, expires_at=claims.expires_at, token_version=claims.token_version,
    )  # fmt: skip


def roles_of(user_id: UUID) -> tuple[str, ...]:
    """Names of a user's roles, sorted."""
    granted = User.roles.through.objects.filter(user=user_id)
    return tuple(granted.values_list("role__name", flat=True).order_by("role__name"))


def sessions_for(user_id: UUID) -> QuerySet[Session]:
    """A user's open sessions."""
    return Session.objects.filter(user=user_id, ended_at=None, expires_at__gt=Now())


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


def good_keys() -> QuerySet[ApiKey]:
    """Keys that work now, as far as they and their owners decide."""
    unexpired = Q(expires_at=None) | Q(expires_at__gt=Now())
    return ApiKey.objects.filter(unexpired, revoked_at=None, owner__is_active=True)


def keys_paid_by(org_id: UUID) -> QuerySet[ApiKey]:
    """Keys of one organisation that have not been revoked, with their owners."""
    return ApiKey.objects.filter(org_id=org_id, revoked_at=None).select_related("owner")


def find_user_by_id(user_id: UUID) -> User:
    """The user.

    Raises:
        LookupError: there is none.
    """
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        raise LookupError("user not found")
    return user


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
