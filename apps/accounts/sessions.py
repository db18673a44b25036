"""Sign-ins: opened, ended one by one or all at once, forgotten when they are long over."""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.contrib.sessions.models import Session as CookieSession
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from oauth2_provider.models import RefreshToken

from apps.accounts.deaths import announce_dead, announce_version
from apps.accounts.domain import Visitor
from apps.accounts.models import Grant, Session, User
from apps.audit.api import Subject, record
from apps.config.api import CREDENTIALS, touch

KEPT_AFTER = timedelta(days=90)
"""How long the row of a session that is over tells operators from where it came."""

_LONGEST_AGENT = 200


def lifetime() -> timedelta:
    """How long a sign-in lasts that is not used."""
    return timedelta(seconds=settings.REFRESH_SECONDS)


@transaction.atomic
def open_session(user: User, kind: str, visitor: Visitor, *, refresh_id: str = "") -> Session:
    """Open a session of ``kind`` (``Session.Kind``). ``refresh_id`` is the jti of its first refresh token."""
    session = Session(
        user=user,
        kind=kind,
        ip=visitor.ip or None,
        user_agent=visitor.user_agent[:_LONGEST_AGENT],
        refresh_id=refresh_id,
        expires_at=Now() + lifetime(),
    )
    session.save(force_insert=True)
    record("session.opened", _subject(session.pk), None, {"user": str(user.pk), "kind": kind})
    return session


@transaction.atomic
def end_session(user_id: UUID, session_id: UUID, *, reason: str = "") -> bool:
    """End a session of this user; False when it is not open, or not theirs. Its tokens die in every gateway."""
    ended = Session.objects.filter(pk=session_id, user=user_id, ended_at=None).update(ended_at=Now())
    if ended:
        record("session.ended", _subject(session_id), {"user": str(user_id)}, None, reason=reason)
        touch(CREDENTIALS, f"session:{session_id}")
        announce_dead(str(session_id))
    return bool(ended)


@transaction.atomic
def end_all(user_id: UUID, *, but: UUID | None = None, reason: str = "") -> int:
    """End all tokens of a user, and all their sessions (``but`` one): sign out everywhere. Returns how many sessions.

    Access tokens carry the version that is raised here. OAuth2 clients lose their refresh tokens and codes, or they
    would turn them into new ones. API keys stay: they are revoked by name.
    """
    raise_token_version(user_id)
    others = Session.objects.filter(user=user_id, ended_at=None)
    ended = (others if but is None else others.exclude(pk=but)).update(ended_at=Now())
    RefreshToken.objects.filter(user=user_id, revoked=None).update(revoked=Now())
    Grant.objects.filter(user=user_id).delete()
    record("user.signed_out", Subject("user", str(user_id)), None, {"sessions": ended}, reason=reason)
    return ended


@transaction.atomic
def raise_token_version(user_id: UUID) -> None:
    """End the access tokens of a user; their sessions stand and can get new ones."""
    User.objects.filter(pk=user_id).update(token_version=F("token_version") + 1)
    touch(CREDENTIALS, f"user:{user_id}")
    if (version := User.objects.values_list("token_version", flat=True).filter(pk=user_id).first()) is not None:
        announce_version(user_id, version)


def purge_sessions() -> int:
    """Delete sessions that have been over for long, and cookies that have expired; returns how many sessions."""
    CookieSession.objects.filter(expire_date__lt=Now()).delete()
    over = Q(ended_at__lt=Now() - KEPT_AFTER) | Q(expires_at__lt=Now() - KEPT_AFTER)
    return Session.objects.filter(over).delete()[0]


def _subject(session_id: UUID) -> Subject:
    return Subject("session", str(session_id))
