"""Accounts of programs: they own keys and clients, nobody signs in as one."""

from itertools import count

from django.db import transaction

from apps.accounts.models import User
from apps.accounts.services import save_user

NO_ADDRESS = "service.invalid"
"""Where service accounts have their addresses: a domain that never exists (RFC 2606)."""


@transaction.atomic
def create_service_account(prefix: str, name: str) -> User:
    """A service account called ``prefix`` and the first free number; ``name`` is what people read."""
    taken = set(User.objects.filter(username__startswith=prefix).values_list("username", flat=True))
    username = next(offered for number in count(1) if (offered := f"{prefix}{number}") not in taken)
    account = User(username=username, email=f"{username}@{NO_ADDRESS}", first_name=name, kind=User.Kind.SERVICE)
    account.set_unusable_password()
    save_user(account)
    return account


@transaction.atomic
def deactivate(account: User) -> bool:
    """Make an account inactive, with all its tokens and keys; False when it was so before."""
    if not account.is_active:
        return False
    account.is_active = False
    save_user(account)
    return True
