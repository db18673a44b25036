"""Our e-mails, and the links in them.

A link carries a signed token that names its purpose and is bound to the state of the user that its use changes: so it
works once, and no longer once the user's password or address has changed in another way. Nothing of it is stored.

Mail is sent beside the request: its answer neither waits for the mail server nor tells by its time whether there was
something to send. What cannot be sent is logged and counted; its receiver asks again.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.core import signing
from django.core.mail import send_mail
from django.template.loader import render_to_string
from django.utils.crypto import constant_time_compare, salted_hmac
from prometheus_client import Counter

from apps.accounts.models import User

VERIFY, RESET = "verify", "reset"
VALID = {VERIFY: timedelta(days=3), RESET: timedelta(hours=1)}
_WORDS = {VERIFY: "three days", RESET: "one hour"}
_SUBJECTS = {VERIFY: "Confirm your e-mail address", RESET: "Set a new password"}

log = structlog.get_logger(__name__)
_sent = Counter("leaky_mails_total", "E-mails handed to the mail server, or not", ["template", "result"])
_post = ThreadPoolExecutor(max_workers=2, thread_name_prefix="mail")


@dataclass(frozen=True, slots=True)
class Opened:
    """What a link says: whose it is, and a digest of what its use will change."""

    user_id: UUID
    state: str


def send_link(purpose: str, user: User) -> None:
    """Send a link for :data:`VERIFY` or :data:`RESET` to the user's address. Call it once the change has committed."""
    link = f"{settings.PUBLIC_URL}/account/{purpose}?token={token_for(purpose, user)}"
    context = {"username": user.get_username(), "link": link, "valid": _WORDS[purpose]}
    send(purpose, user.email, _SUBJECTS[purpose], context)


def send(template: str, receiver: str, subject: str, context: dict[str, Any]) -> None:
    """Send ``templates/email/<template>.txt`` soon. Returns at once; never raises for the mail server's sake."""
    _post.submit(_send, template, receiver, subject, context)


def token_for(purpose: str, user: User) -> str:
    """A token for one use of a link."""
    return signing.dumps({"user": str(user.pk), "state": _state(purpose, user)}, salt=_salt(purpose))


def opened(purpose: str, token: str) -> Opened | None:
    """What the token of a link says, if we signed it for this purpose and not too long ago."""
    try:
        claims = signing.loads(token, salt=_salt(purpose), max_age=VALID[purpose])
    except signing.BadSignature:
        return None
    return Opened(UUID(claims["user"]), claims["state"])


def fits(link: Opened, purpose: str, user: User) -> bool:
    """Whether the link still fits the user's state. ``user`` must be locked by the caller's transaction."""
    return constant_time_compare(link.state, _state(purpose, user))


def _send(template: str, receiver: str, subject: str, context: dict[str, Any]) -> None:
    try:
        send_mail(subject, render_to_string(f"email/{template}.txt", context), None, [receiver])
    except Exception:  # On a thread that nobody waits for: whatever a mail server does ends in the log and metric.
        _sent.labels(template, "failed").inc()
        log.exception("mail.failed", template=template)
    else:
        _sent.labels(template, "sent").inc()


def _state(purpose: str, user: User) -> str:
    changing = f"{user.email} {user.email_verified_at if purpose == VERIFY else user.password}"
    return salted_hmac(_salt(purpose), changing, algorithm="sha256").hexdigest()


def _salt(purpose: str) -> str:
    return f"leaky.mail.{purpose}"
