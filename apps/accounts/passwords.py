"""Changing a password, setting a forgotten one, and proving an e-mail address."""

import hashlib
from uuid import UUID

import redis
import structlog
from django.core.cache import cache
from django.db import transaction
from django.db.models.functions import Now

from apps.accounts import issuing, mail
from apps.accounts.domain import Visitor
from apps.accounts.first_party import as_user, sign_in
from apps.accounts.models import Session, User
from apps.accounts.policy import insist_on_policy
from apps.accounts.sessions import end_all
from apps.audit.api import Subject, record, state_of
from apps.core.acting import acting
from apps.core.errors import InvalidCredential, Unacceptable

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 60
_NO_LINK = "This link has been used, has expired, or is not complete. Ask for a new one."


def change_password(user_id: UUID, current: str, new: str, visitor: Visitor, *, session_id: UUID | None) -> User:
    """Set a new password; all sessions but ``session_id`` end, and all access tokens. Returns the user as they are now.

    Raises:
        Unacceptable: ``currentPassword`` is not theirs, or ``newPassword`` breaks the policy.
        LockedOut: too many wrong passwords.
    """
    user = User.objects.get(pk=user_id)
    try:
        sign_in(user.get_username(), current, visitor)
    except InvalidCredential as error:
        raise Unacceptable("currentPassword", "This is not your present password.") from error
    insist_on_policy(new, user, field="newPassword")
    return _set_password(user, new, but=session_id)


def renew_tokens(user: User, session_id: UUID) -> issuing.SignedIn:
    """A fresh access token for a session that outlived a change of password; its refresh token stays good."""
    return issuing.signed_in(user, Session.objects.get(pk=session_id, user=user), None)


def request_reset(email: str) -> None:
    """Send a link to whom this address belongs; to nobody, in the same time, if it is nobody's."""
    address = email.strip().lower()
    user = User.objects.filter(email__iexact=address, is_active=True, kind=User.Kind.PERSON).first()
    if _first_for_long(mail.RESET, address) and user is not None:
        mail.send_link(mail.RESET, user)


@transaction.atomic
def reset_password(token: str, new: str, visitor: Visitor) -> User:
    """Set a new password by a link's token; the user is signed out everywhere, and their address is proved.

    Raises:
        Unacceptable: ``token`` is not good any more, or ``newPassword`` breaks the policy.
    """
    user = _user_of(mail.RESET, token)
    insist_on_policy(new, user, field="newPassword")
    with acting(as_user(user, visitor)):
        _prove_address(user)
        return _set_password(user, new, but=None)


def request_verification(user_id: UUID) -> None:
    """Send a link that proves the user's address, unless that is done."""
    user = User.objects.filter(pk=user_id, email_verified_at=None).first()
    if user is not None and _first_for_long(mail.VERIFY, user.email):
        mail.send_link(mail.VERIFY, user)


@transaction.atomic
def verify_email(token: str, visitor: Visitor) -> User:
    """The user whose address a link's token proves.

    Raises:
        Unacceptable: ``token`` is not good any more.
    """
    user = _user_of(mail.VERIFY, token)
    with acting(as_user(user, visitor)):
        _prove_address(user)
    return user


def _first_for_long(purpose: str, address: str) -> bool:
    """Whether this address has not been written to in the last minute: nobody's mailbox is flooded through us."""
    digest = hashlib.sha256(address.encode()).hexdigest()
    try:
        return bool(cache.add(f"mail:{purpose}:{digest}", 1, PAUSE_SECONDS))
    except redis.RedisError as error:
        log.warning("mail.pause_unknown", reason=type(error).__name__)
        return True  # A cache that is away must not keep people out.


@transaction.atomic
def _set_password(user: User, new: str, *, but: UUID | None) -> User:
    user.set_password(new)
    user.save(update_fields=["password"])
    record("password.changed", Subject("user", str(user.pk)), None, {})
    end_all(user.pk, but=but, reason="password changed")
    user.refresh_from_db()
    return user


def _prove_address(user: User) -> None:
    if user.email_verified_at is None:
        User.objects.filter(pk=user.pk).update(email_verified_at=Now())
        user.refresh_from_db(fields=["email_verified_at"])
        record("email.verified", Subject("user", str(user.pk)), None, state_of(user, "email", "email_verified_at"))


def _user_of(purpose: str, token: str) -> User:
    """The user of a link's token, locked: of two uses at the same time the second finds a changed state."""
    named = mail.user_named_in(purpose, token)
    user = User.objects.select_for_update().filter(pk=named, is_active=True).first() if named else None
    if user is None or not mail.is_good(purpose, token, user):
        raise Unacceptable("token", _NO_LINK)
    return user
