"""Signing up and in with name and password."""

import hashlib
from dataclasses import replace

from django.contrib.auth import authenticate
from django.db import connection, transaction

from apps.accounts import lockout
from apps.accounts.domain import Visitor
from apps.accounts.models import User
from apps.accounts.services import grant_role
from apps.core.acting import PERSON, Actor, acting, actor
from apps.core.errors import InvalidCredential, LockedOut
from apps.core.http.caller import USER


def sign_in(username: str, password: str, visitor: Visitor) -> User:
    """The person with this name and password. Who has no role yet becomes a USER.

    An unknown name, a wrong password, an inactive user and a service account take the same steps and time.

    Raises:
        InvalidCredential: it is not so; the error does not say why.
        LockedOut: there were too many wrong passwords for this name from this address.
    """
    user, wait = _attempt(username, password, visitor)
    if wait:
        raise LockedOut(wait)
    if user is None:
        raise InvalidCredential
    return user


def as_user(user: User, visitor: Visitor) -> Actor:
    """The actor of what ``user`` does while they are only just becoming known."""
    return replace(actor(), kind=PERSON, id=str(user.pk), ip=visitor.ip)


@transaction.atomic
def _attempt(username: str, password: str, visitor: Visitor) -> tuple[User | None, int]:
    """Whom it is, and otherwise how long the name is locked (seconds). Commits either way: failures are counted."""
    _one_at_a_time(username, visitor)
    request = lockout.request_of(visitor)
    user = authenticate(request, username=username, password=password)
    if not isinstance(user, User):
        return None, lockout.wait_seconds(request, username)
    with acting(as_user(user, visitor)):
        if not user.roles.exists():
            grant_role(user, USER)
    return user, 0


def _one_at_a_time(username: str, visitor: Visitor) -> None:
    """Wait for other attempts on this name from this address, or a crowd would all guess before the first counts."""
    digest = hashlib.blake2b(f"sign-in\0{username}\0{visitor.ip}".encode(), digest_size=8).digest()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [int.from_bytes(digest, signed=True)])
