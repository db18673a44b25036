"""Users of an organisation's programs, and the keys that its admins make for them and revoke."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.accounts import api as accounts
from apps.accounts.api import ApiKey, User
from apps.audit.api import Subject, record, state_of
from apps.core.errors import NotFound
from apps.orgs import memberships
from apps.orgs.domain import MEMBER, Standing
from apps.orgs.selectors import service_accounts_of
from apps.orgs.services import lock


@transaction.atomic
def create(by: Standing, name: str) -> User:
    """A service account that is a member of exactly this organisation; ``svc-<slug>-<n>`` is its username.

    Raises:
        RoleMissing: ``by`` is a plain member.
    """
    by.insist_on_managing()
    org = lock(by.org_id)
    account = accounts.create_service_account(f"svc-{org.slug}-", name)
    subject = Subject("service_account", str(account.pk), org.pk)
    record("service_account.created", subject, None, state_of(account, "username", "first_name", "is_active"))
    memberships.add(org.pk, account.pk, MEMBER)
    return account


@transaction.atomic
def disable(by: Standing, account_id: UUID) -> None:
    """End a service account with all its keys; it stays listed. Doing so again changes nothing.

    Raises:
        RoleMissing: ``by`` is a plain member.
        NotFound: the organisation has no such service account.
    """
    memberships.disable(_locked(by, account_id), by.org_id)


@transaction.atomic
def create_key(by: Standing, account_id: UUID, name: str, attributes: Mapping[str, Any]) -> tuple[ApiKey, str]:
    """A key of a service account's for which the organisation pays, and its text, which nobody can show again.

    ``attributes`` are further ones of :func:`apps.accounts.api.create_api_key`.

    Raises:
        RoleMissing: ``by`` is a plain member.
        NotFound: the organisation has no such service account, or it is disabled.
    """
    account = _locked(by, account_id)
    if not account.is_active:
        raise NotFound
    return accounts.create_api_key(account, name, org_id=by.org_id, **attributes)


@transaction.atomic
def revoke_key(by: Standing, key_id: str) -> None:
    """Revoke a key for which the organisation pays, whoever owns it.

    Raises:
        RoleMissing: ``by`` is a plain member.
        NotFound: the organisation pays for no such key, or it is revoked already.
    """
    by.insist_on_managing()
    if not accounts.keys_paid_by(by.org_id).filter(pk=key_id).exists() or not accounts.revoke_api_key(key_id):
        raise NotFound


def _locked(by: Standing, account_id: UUID) -> User:
    by.insist_on_managing()
    lock(by.org_id)
    account = service_accounts_of(by).select_for_update(of=("self",)).filter(pk=account_id).first()
    if account is None:
        raise NotFound
    return account
