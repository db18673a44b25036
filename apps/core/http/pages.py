"""What every HTML page does: see its person's rows only, say who acts, never be cached, and explain itself in HTML."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from apps.core import acting, tenancy
from apps.core.http.permissions import BROWSER, declare
from apps.core.http.views import client_ip

View = Callable[..., HttpResponse]


def page(*methods: str) -> Callable[[View], View]:
    """Wrap the view of a page that takes ``methods``, and declare that session cookie and CSRF token decide."""

    def wrap(view: View) -> View:
        @never_cache
        @require_http_methods([*methods, *(["HEAD"] if "GET" in methods else [])])
        @wraps(view)
        def framed(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            with _rows_of(request), acting.acting(_actor(request)):
                try:
                    return view(request, *args, **kwargs)
                except Http404:
                    return _nothing(request)

        return declare(BROWSER, framed)

    return wrap


def signed_in(view: View) -> View:
    """Lead whoever has not signed in there, and back to this page afterwards."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        back = request.get_full_path() if request.method == "GET" else settings.LOGIN_REDIRECT_URL
        return redirect_to_login(back)

    return guarded


def message(
    request: HttpRequest, title: str, sentence: str, *, status: int = 200, link: str = "", link_label: str = ""
) -> HttpResponse:
    """A page that says something, and where to go from there."""
    context = {"title": title, "sentence": sentence, "link": link, "link_label": link_label}
    return render(request, "account/message.html", context, status=status)


@page("GET", "POST")
def nothing_here(request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
    """The 404 of addresses that people type."""
    return _nothing(request)


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 (Django passes it)
    """Django's ``CSRF_FAILURE_VIEW``."""
    sentence = (
        "For your safety nothing was done, because the form did not come from a page of ours, or the page was too old. "
        "Please go back, load the page again and repeat it. Your browser must accept our cookies."
    )
    return message(request, "The form was not accepted", sentence, status=403, link=request.path,
                   link_label="Load the page again")  # fmt: skip


def _nothing(request: HttpRequest) -> HttpResponse:
    sentence = "The address may be mistyped, or what was here is gone or is not yours."
    return message(request, "There is nothing here", sentence, status=404, link=settings.LOGIN_REDIRECT_URL,
                   link_label="To your account")  # fmt: skip


@contextmanager
def _rows_of(request: HttpRequest) -> Iterator[None]:
    """The connection sees the rows of the person of the session, if there is one, and afterwards nobody's."""
    tenancy.enter(_person(request))
    try:
        yield
    finally:
        tenancy.leave()


def _actor(request: HttpRequest) -> acting.Actor:
    person = _person(request)
    kind = acting.PERSON if person else acting.SYSTEM
    identity = structlog.contextvars.get_contextvars().get("request_id", "")
    return acting.Actor(kind, str(person or ""), request.user.get_username(), client_ip(request), str(identity))


def _person(request: HttpRequest) -> UUID | None:
    return request.user.pk if request.user.is_authenticated else None
