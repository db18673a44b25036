"""The account's first page: who one is, the password, sessions, and applications; and what can be done about them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters

from apps.accounts import browser, connections, passwords
from apps.accounts.models import Session, User
from apps.accounts.pages.answers import answer, person, visitor_of
from apps.accounts.pages.devices import device_of
from apps.accounts.pages.forms import Change
from apps.accounts.selectors import sessions_for
from apps.accounts.sessions import end_all as end_all_sessions
from apps.accounts.sessions import end_session as end_one
from apps.core.errors import Refused
from apps.core.http.caller import SCOPES
from apps.core.http.pages import message, page, signed_in
from apps.core.http.redirects import see_other


@dataclass(frozen=True, slots=True)
class ShownSession:
    """A session as its user recognises it."""

    id: UUID
    device: str
    place: str
    since: datetime
    is_current: bool


@dataclass(frozen=True, slots=True)
class ShownApplication:
    """A connected application, and in words what it may do."""

    client_id: str
    name: str
    may: tuple[str, ...]


@page("GET")
@signed_in
def home(request: HttpRequest) -> HttpResponse:
    """All of it."""
    return _home(request, Change(), None)


@sensitive_post_parameters()
@page("GET", "POST")
@signed_in
def password(request: HttpRequest) -> HttpResponse:
    """Change the password; this session stays, all others end."""
    form = Change(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return _home(request, form, None)
    values = form.cleaned_data
    try:
        user = _change(request, values["current_password"], values["new_password"])
    except Refused as refusal:
        return _home(request, form, refusal)
    update_session_auth_hash(request, user)
    messages.success(request, "Your password is changed. All your other sessions have ended.")
    return see_other(reverse("account:home"))


@page("POST")
@signed_in
def end_session(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Sign out somewhere else."""
    if not end_one(person(request).pk, session_id):
        raise Http404
    messages.success(request, "The session has ended.")
    return see_other(reverse("account:home"))


@page("POST")
@signed_in
def end_all(request: HttpRequest) -> HttpResponse:
    """Sign out everywhere, here too."""
    end_all_sessions(person(request).pk)
    browser.finish(request)
    return message(request, "You are signed out everywhere", "All tokens of your account have ended, too.",
                   link=settings.LOGIN_URL, link_label="Sign in")  # fmt: skip


@page("POST")
@signed_in
def disconnect(request: HttpRequest, client_id: str) -> HttpResponse:
    """Take an application's tokens away."""
    if not connections.disconnect(person(request), client_id):
        raise Http404
    messages.success(request, "The application can no longer act for you.")
    return see_other(reverse("account:home"))


def _change(request: HttpRequest, current: str, new: str) -> User:
    here = browser.current(request)
    return passwords.change_password(person(request).pk, current, new, visitor_of(request), session_id=here)


def _home(request: HttpRequest, form: Change, error: Refused | None) -> HttpResponse:
    user = person(request)
    context = {
        "sessions": list(_sessions(user.pk, browser.current(request))),
        "applications": [
            ShownApplication(one.client_id, one.name, tuple(SCOPES[scope] for scope in one.scopes if scope in SCOPES))
            for one in connections.connections_of(user)
        ],
    }
    return answer(request, "account/home.html", form, error, context)


def _sessions(user_id: UUID, current: UUID | None) -> Iterator[ShownSession]:
    for row in sessions_for(user_id):
        kind = "Browser" if row.kind == Session.Kind.BROWSER else "Program"
        place = f"{kind} at {row.ip}" if row.ip else kind
        yield ShownSession(row.pk, device_of(row.user_agent), place, row.created_at, row.pk == current)
