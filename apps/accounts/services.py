"""Writes of users and keys. Each raises the version of what decides who a caller is."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from apps.accounts import keys
from apps.accounts.models import ApiKey, User
from apps.accounts.selectors import pepper
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


def revoke_keys_of(owner_id: UUID, org_id: UUID) -> int:
    """Revoke all keys of a user's that an organisation pays for, for good; returns how many were not revoked before."""
    return revoke_api_keys(list(ApiKey.objects.filter(owner=owner_id, org_id=org_id).values_list("pk", flat=True)))


@transaction.atomic
def save_api_key(key: ApiKey) -> None:
    """Write an operator's change of a key's name, payer, models or expiry."""
    key.save(update_fields=["name", "org_id", "allowed_models", "expires_at"])
    touch(CREDENTIALS)


@transaction.atomic
def save_user(user: User) -> None:
    """Write a user. One that becomes inactive takes all keys of theirs along."""
    user.save()
    touch(CREDENTIALS)


@transaction.atomic
def delete_user(user: User) -> None:
    """Delete a user who has never owned a key.

    Raises:
        ProtectedError: there are keys; make the user inactive instead.
    """
    user.delete()
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
