"""Signing in and out in a browser: Django's session cookie, and beside it the row that the user can end elsewhere."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.contrib.auth import login, logout
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse

from apps.accounts.domain import Visitor
from apps.accounts.models import Session, User
from apps.accounts.sessions import end_session, lifetime, open_session

SESSION_ID = "leaky_session_id"
"""Where Django's session keeps the id of its row."""

SEEN_EVERY = timedelta(minutes=1)
"""``last_seen_at`` is written at most this often."""


def begin(request: HttpRequest, user: User, visitor: Visitor) -> Session:
    """Sign ``user`` in, in this browser. The cookie changes, so that one planted before is worth nothing."""
    login(request, user, backend="apps.accounts.backends.PeopleBackend")
    session = open_session(user, Session.Kind.BROWSER, visitor)
    request.session[SESSION_ID] = str(session.pk)
    return session


def finish(request: HttpRequest) -> None:
    """Sign out in this browser."""
    if (session_id := current(request)) and isinstance(request.user, User):
        end_session(request.user.pk, session_id)
    logout(request)


def current(request: HttpRequest) -> UUID | None:
    """The id of the session of this browser; None when nobody is signed in, or it is a console's."""
    text = request.session.get(SESSION_ID)
    return UUID(text) if text else None


class SessionGuard:
    """A cookie is worth nothing once its session was ended elsewhere. One query for a request that brings a cookie."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Sign out first, if it is so."""
        if settings.SESSION_COOKIE_NAME in request.COOKIES and not request.path.startswith("/api/"):
            session_id = current(request)
            if session_id is not None and not _seen(session_id):
                logout(request)
        return self.get_response(request)


def _seen(session_id: UUID) -> bool:
    """Whether the session is open. Its use is written down, which also puts off its end."""
    open_now = Session.objects.filter(pk=session_id, ended_at=None, expires_at__gt=Now())
    stale = open_now.filter(last_seen_at__lt=Now() - SEEN_EVERY)
    return bool(stale.update(last_seen_at=Now(), expires_at=Now() + lifetime())) or open_now.exists()
