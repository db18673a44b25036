"""Writes of users and keys. Each raises the version of what decides who a caller is."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from axes.models import AccessAttempt
from django.conf import settings
from django.db import transaction
from django.db.models import DurationField, F, Value
from django.db.models.functions import Least, Now

from apps.accounts import keys
from apps.accounts.deaths import announce_dead
from apps.accounts.domain import KeyEnded, ScopesWidened, TooManyKeys
from apps.accounts.models import ApiKey, Role, User
from apps.accounts.selectors import good_keys, pepper, roles_of
from apps.accounts.sessions import end_all, raise_token_version
from apps.audit.api import State, Subject, record, state_of
from apps.config.api import CREDENTIALS, touch

EDITABLE = ("name", "org_id", "scopes", "allowed_models", "allowed_networks", "budget", "expires_at")
"""Fields of a key that can be changed; its owner and its text cannot."""


@transaction.atomic
def create_api_key(  # noqa: PLR0913 (each is a column of its own)
    owner: User,
    name: str,
    *,
    org_id: UUID | None = None,
    expires_at: datetime | None = None,
    allowed_models: Collection[str] | None = None,
    scopes: Collection[str] | None = None,
    allowed_networks: Collection[str] | None = None,
    budget: int | None = None,
) -> tuple[ApiKey, str]:
    """A new key and its text, which nobody can show again.

    ``allowed_models`` and ``allowed_networks`` None: all. ``scopes`` None: those that a key has by default. ``budget``
    in tokens. Whether ``owner`` may let ``org_id`` pay is asked on every use, not here.

    Raises:
        TooManyKeys: the owner has as many good keys as one may have.
    """
    User.objects.select_for_update(no_key=True).get(pk=owner.pk)  # Two that are made at once are counted in turn.
    if good_keys().filter(owner=owner, replaced_by=None).count() >= settings.KEYS_PER_USER:
        raise TooManyKeys(f"A user may have {settings.KEYS_PER_USER} keys; revoke one first.")
    return _issue(
        ApiKey(
            owner=owner, name=name, org_id=org_id, expires_at=expires_at, allowed_models=_sorted(allowed_models),
            scopes=_sorted(scopes), allowed_networks=_sorted(allowed_networks), budget=budget,
        ),
        "api_key.created",
    )  # fmt: skip


def _sorted(words: Collection[str] | None) -> list[str] | None:
    return None if words is None else sorted(words)


def _issue(key: ApiKey, action: str) -> tuple[ApiKey, str]:
    """Give an unsaved key its text."""
    text = keys.issue(key.owner_id)
    key.pk, key.digest = keys.parse(text).id, keys.digest(text, pepper())
    key.save(force_insert=True)  # No gateway need hear of it: what is unknown is not remembered.
    record(action, _key_subject(key), None, _key_state(key))
    return key, text


def _key_subject(key: ApiKey) -> Subject:
    return Subject("api_key", key.pk, key.org_id)


def _key_state(key: ApiKey) -> State:
    """What the audit trail knows of a key: everything but its text and digest."""
    return state_of(key, "owner", *EDITABLE, "replaced_by", "revoked_at")


@transaction.atomic
def rotate_api_key(key_id: str, grace: timedelta) -> tuple[ApiKey, str]:
    """A new key with everything that the old one had, and its text. The old one works for ``grace`` more, at most.

    Both spend from one budget.

    Raises:
        KeyEnded: the old one has been replaced before, has expired or was revoked.
    """
    old = _changeable(key_id)
    before = _key_state(old)
    successor = ApiKey(owner_id=old.owner_id, budget_id=old.spends_from)
    for name in EDITABLE:
        setattr(successor, name, getattr(old, name))
    successor, text = _issue(successor, "api_key.created")
    ApiKey.objects.filter(pk=old.pk).update(
        replaced_by=successor, expires_at=Least(F("expires_at"), Now() + Value(grace, DurationField()))
    )
    old.refresh_from_db()
    touch(CREDENTIALS, f"key:{old.pk}")
    record("api_key.rotated", _key_subject(old), before, _key_state(old))
    return successor, text


def _changeable(key_id: str) -> ApiKey:
    """The locked row of a key that has not ended."""
    key = ApiKey.objects.select_for_update().get(pk=key_id)
    if key.replaced_by_id or not good_keys().filter(pk=key_id).exists():
        raise KeyEnded(key.replaced_by_id or "")
    return key


@transaction.atomic
def revoke_api_keys(key_ids: Collection[str]) -> int:
    """Revoke keys for good; returns how many were not revoked before."""
    found = ApiKey.objects.select_for_update().filter(pk__in=key_ids, revoked_at=None).order_by("pk")
    before = {key.pk: _key_state(key) for key in found}
    if not before:
        return 0
    ApiKey.objects.filter(pk__in=before).update(revoked_at=Now())
    touch(CREDENTIALS, *(f"key:{key_id}" for key_id in before))
    announce_dead(*before)
    for key in ApiKey.objects.filter(pk__in=before).order_by("pk"):
        record("api_key.revoked", _key_subject(key), before[key.pk], _key_state(key))
    return len(before)


def revoke_api_key(key_id: str) -> bool:
    """Revoke one key for good; False when it was revoked before, or is unknown."""
    return revoke_api_keys([key_id]) == 1


def revoke_keys_named(owner: User, name: str) -> int:
    """Revoke all of a user's keys of this name for good; returns how many were not revoked before."""
    return revoke_api_keys(list(ApiKey.objects.filter(owner=owner, name=name).values_list("pk", flat=True)))


def revoke_keys_of(owner_id: UUID, org_id: UUID) -> int:
    """Revoke all keys of a user's that an organisation pays for, for good; returns how many were not revoked before."""
    return revoke_api_keys(list(ApiKey.objects.filter(owner=owner_id, org_id=org_id).values_list("pk", flat=True)))


@transaction.atomic
def narrow_api_key(key_id: str, changes: Mapping[str, object]) -> ApiKey:
    """Change a good key's :data:`EDITABLE` fields; its scopes can only become fewer.

    Raises:
        KeyEnded: it has been replaced, has expired or was revoked.
        ScopesWidened: the change names scopes that it has not.
    """
    key = _changeable(key_id)
    before, had = _key_state(key), key.effective_scopes
    for name, value in changes.items():
        setattr(key, name, value)
    if not key.effective_scopes <= had:
        raise ScopesWidened("A key's scopes can only become fewer.")
    return _change(key, before)


@transaction.atomic
def save_api_key(key: ApiKey) -> None:
    """Write an operator's change of a key, as it stands in ``key``."""
    _change(key, _key_state(ApiKey.objects.select_for_update().get(pk=key.pk)))


def _change(key: ApiKey, before: State) -> ApiKey:
    key.save(update_fields=EDITABLE)
    touch(CREDENTIALS, f"key:{key.pk}")
    record("api_key.changed", _key_subject(key), before, _key_state(key))
    return key


@transaction.atomic
def save_user(user: User) -> None:
    """Write a user. One that becomes inactive takes all keys of theirs along; they and whose password changes are
    signed out everywhere.
    """
    before = User.objects.select_for_update().filter(pk=user.pk).first()
    if before is not None:
        user.token_version = before.token_version  # Raised elsewhere since ``user`` was read, perhaps.
    user.save()
    _record(user, before)
    if before is None or not _ends_sessions(before, user):
        touch(CREDENTIALS, f"user:{user.pk}")
        return
    end_all(user.pk)
    user.refresh_from_db(fields=["token_version"])


@transaction.atomic
def set_roles(user: User, roles: Collection[Role]) -> None:
    """Make these the user's roles. Their tokens die, because they name the old ones."""
    before = roles_of(user.pk)
    user.roles.set(roles)
    after = roles_of(user.pk)
    if before != after:
        record("user.changed", _subject(user), {"roles": list(before)}, {"roles": list(after)})
        raise_token_version(user.pk)


@transaction.atomic
def grant_role(user: User, name: str) -> None:
    """Give the user one more role; a shipped one that somebody has deleted comes back."""
    role, _made = Role.objects.get_or_create(name=name)
    before = roles_of(user.pk)
    user.roles.add(role)
    record("user.changed", _subject(user), {"roles": list(before)}, {"roles": list(roles_of(user.pk))})
    touch(CREDENTIALS, f"user:{user.pk}")


@transaction.atomic
def save_role(role: Role) -> None:
    """Write a role; it is worth something once a user has it, or a tier its name."""
    before = Role.objects.filter(pk=role.pk).first()
    role.save()
    was = None if before is None else state_of(before, "name", "description")
    subject = Subject("role", str(role.pk))
    record("role.created" if was is None else "role.changed", subject, was, state_of(role, "name", "description"))


@transaction.atomic
def delete_role(role: Role) -> None:
    """Delete a role."""
    record("role.deleted", Subject("role", str(role.pk)), state_of(role, "name", "description"), None)
    role.delete()
    touch(CREDENTIALS)


@transaction.atomic
def forget_attempts(attempts: Iterable[AccessAttempt]) -> None:
    """Let names in again, from these addresses, that wrong passwords have locked."""
    for username, address in sorted({(attempt.username, attempt.ip_address or "") for attempt in attempts}):
        rows = AccessAttempt.objects.filter(username=username, ip_address=address or None)
        was = {"username": username, "ip": address, "rows": rows.count()}
        record("lockout.cleared", Subject("username", username[:64]), was, None)
        rows.delete()


@transaction.atomic
def delete_user(user: User) -> None:
    """Delete a user who has never owned a key.

    Raises:
        ProtectedError: there are keys; make the user inactive instead.
    """
    subject, was = _subject(user), _state(user)
    user.delete()
    record("user.deleted", subject, was, None)
    touch(CREDENTIALS, f"user:{subject.id}")


@transaction.atomic
def open_user(username: str, email: str, password: str, *, operator: bool = False) -> User:
    """The user of this name, made if missing, with this password. An ``operator`` may do all in the console.

    An existing user keeps their id, and the row is written only when something differs.
    """
    user = User.objects.select_for_update().filter(username=username).first()
    if user and user.check_password(password) and user.is_active and user.is_superuser == operator:
        return user
    user = user or User(username=username, email=email)
    user.set_password(password)
    user.is_active, user.is_staff, user.is_superuser = True, operator, operator
    save_user(user)
    return user


def _record(user: User, before: User | None) -> None:
    if before is None:
        record("user.created", _subject(user), None, _state(user))
        return
    record("user.changed", _subject(user), _state(before), _state(user))
    if before.password != user.password:
        record("password.changed", _subject(user), None, {})


def _ends_sessions(before: User, after: User) -> bool:
    return before.password != after.password or (before.is_active and not after.is_active)


def _subject(user: User) -> Subject:
    return Subject("user", str(user.pk))


def _state(user: User) -> State:
    return state_of(user, "username", "email", "kind", "is_active", "is_staff", "is_superuser", "email_verified_at")
