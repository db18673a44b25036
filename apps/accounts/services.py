"""Writes of users and keys. Each raises the version of what decides who a caller is."""

from collections.abc import Collection, Iterable
from datetime import datetime
from uuid import UUID

from axes.models import AccessAttempt
from django.db import transaction
from django.db.models.functions import Now

from apps.accounts import keys
from apps.accounts.models import ApiKey, Role, User
from apps.accounts.selectors import pepper, roles_of
from apps.accounts.sessions import end_all, raise_token_version
from apps.audit.api import State, Subject, record, state_of
from apps.config.api import CREDENTIALS, touch


@transaction.atomic
def create_api_key(
    owner: User,
    name: str,
    *,
    org_id: UUID | None = None,
    expires_at: datetime | None = None,
    allowed_models: Collection[str] | None = None,
) -> tuple[ApiKey, str]:
    """A new key and its text, which nobody can show again. ``allowed_models`` None: all.

    Whether ``owner`` may let ``org_id`` pay is asked on every use, not here.
    """
    text = keys.issue(owner.pk)
    key = ApiKey.objects.create(
        id=keys.parse(text).id,
        owner=owner,
        org_id=org_id,
        name=name,
        digest=keys.digest(text, pepper()),
        expires_at=expires_at,
        allowed_models=None if allowed_models is None else sorted(allowed_models),
    )
    touch(CREDENTIALS)
    return key, text


@transaction.atomic
def revoke_api_keys(key_ids: Collection[str]) -> int:
    """Revoke keys for good; returns how many were not revoked before."""
    revoked = ApiKey.objects.filter(pk__in=key_ids, revoked_at=None).update(revoked_at=Now())
    if revoked:
        touch(CREDENTIALS)
    return revoked


def revoke_api_key(key_id: str) -> bool:
    """Revoke one key for good; False when it was revoked before, or is unknown."""
    return revoke_api_keys([key_id]) == 1


def revoke_keys_named(owner: User, name: str) -> int:
    """Revoke all of a user's keys of this name for good; returns how many were not revoked before."""
    return revoke_api_keys(list(ApiKey.objects.filter(owner=owner, name=name).values_list("pk", flat=True)))


@transaction.atomic
def save_api_key(key: ApiKey) -> None:
    """Write an operator's change of a key's name, payer, models or expiry."""
    key.save(update_fields=["name", "org_id", "allowed_models", "expires_at"])
    touch(CREDENTIALS)


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
        touch(CREDENTIALS)
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
    touch(CREDENTIALS)


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
    touch(CREDENTIALS)


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
