"""Signing up and in with name and password."""

import hashlib
import hmac
from dataclasses import replace

from django.contrib.auth import authenticate
from django.contrib.auth.models import update_last_login
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from rest_framework_simplejwt.exceptions import TokenError

from apps.accounts import lockout, mail
from apps.accounts.domain import Visitor
from apps.accounts.issuing import Refresh, SignedIn, new_refresh, signed_in
from apps.accounts.models import Session, User
from apps.accounts.policy import clean_email, clean_username, has_unseen, insist_on_policy
from apps.accounts.services import grant_role, save_user
from apps.accounts.sessions import end_session, lifetime, open_session
from apps.core.acting import PERSON, Actor, acting, actor
from apps.core.errors import InvalidCredential, LockedOut, Unacceptable
from apps.core.http.caller import USER

LONGEST_NAME = 150
"""Characters of a username; those that operators make may be longer than those at registration."""


def sign_in(username: str, password: str, visitor: Visitor) -> User:
    """The person with this name and password. Who has no role yet becomes a USER.

    An unknown name, a wrong password, an inactive user and a service account take the same steps and time.

    Raises:
        InvalidCredential: it is not so; the error does not say why.
        LockedOut: there were too many wrong passwords for this name from this address.
    """
    if len(username) > LONGEST_NAME or has_unseen(username):
        raise InvalidCredential  # No user is called so, and it could not be written down.
    user, wait = _attempt(username, password, visitor)
    if wait:
        raise LockedOut(wait)
    if user is None:
        raise InvalidCredential
    return user


def register(username: str, email: str, password: str, visitor: Visitor) -> User:
    """A new user of the role USER; a link that proves their address is on its way.

    Raises:
        Unacceptable: what is wrong with which field, also that a name or an address is somebody's.
    """
    user = User(username=clean_username(username), email=clean_email(email))
    insist_on_policy(password, user)
    _insist_on_free(user)
    user.set_password(password)
    try:
        _save_new(user, visitor)
    except IntegrityError:
        _insist_on_free(user)  # Somebody was faster, a moment ago.
        raise
    mail.send_link(mail.VERIFY, user)
    return user


def log_in(username: str, password: str, visitor: Visitor) -> SignedIn:
    """Sign in at the API.

    Raises:
        InvalidCredential: name or password are wrong.
        LockedOut: too many wrong passwords.
    """
    return open_api_session(sign_in(username, password, visitor), visitor)


@transaction.atomic
def open_api_session(user: User, visitor: Visitor) -> SignedIn:
    """Tokens for a user who has just proved to be who they are."""
    refresh = new_refresh(user)
    with acting(as_user(user, visitor)):
        session = open_session(user, Session.Kind.API, visitor, refresh_id=refresh["jti"])
    update_last_login(type(user), user)
    return signed_in(user, session, refresh)


def refresh(text: str) -> SignedIn:
    """New tokens for a refresh token, which is thereby used up. One that was used before ends its session: of the two
    who have it, one is a thief.

    Raises:
        InvalidCredential: it is not good.
    """
    try:
        token = Refresh(text)  # type: ignore[arg-type]  # simplejwt means a text, too
    except TokenError as error:
        raise InvalidCredential from error
    renewed = _renew(token)
    if renewed is None:
        raise InvalidCredential
    return renewed


@transaction.atomic
def _renew(token: Refresh) -> SignedIn | None:
    """None, if the token is not the session's newest; commits either way."""
    open_now = Session.objects.filter(kind=Session.Kind.API, ended_at=None, expires_at__gt=Now(), user__is_active=True)
    rows = open_now.select_for_update(of=("self",)).select_related("user")
    session = rows.filter(pk=token["sid"], user=token["sub"]).first()
    if session is None:
        return None
    if not hmac.compare_digest(session.refresh_id, token["jti"]):
        end_session(session.user_id, session.pk, reason="a refresh token was used twice")
        return None
    newer = new_refresh(session.user)
    session.refresh_id, session.last_seen_at, session.expires_at = newer["jti"], Now(), Now() + lifetime()
    session.save(update_fields=["refresh_id", "last_seen_at", "expires_at"])
    return signed_in(session.user, session, newer)


@transaction.atomic
def _save_new(user: User, visitor: Visitor) -> None:
    with acting(as_user(user, visitor)):
        save_user(user)
        grant_role(user, USER)


def _insist_on_free(user: User) -> None:
    if User.objects.filter(username=user.username).exists():
        raise Unacceptable("username", "username already exists")
    if User.objects.filter(email__iexact=user.email).exists():
        raise Unacceptable("email", "email already exists")


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
    lockout.forgive(request, username)
    with acting(as_user(user, visitor)):
        if not user.roles.exists():
            grant_role(user, USER)
    return user, 0


def _one_at_a_time(username: str, visitor: Visitor) -> None:
    """Wait for other attempts on this name from this address, or a crowd would all guess before the first counts."""
    digest = hashlib.blake2b(f"sign-in\0{username}\0{visitor.ip}".encode(), digest_size=8).digest()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [int.from_bytes(digest, signed=True)])
