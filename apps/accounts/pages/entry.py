"""Signing in, signing out, and making an account."""

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.debug import sensitive_post_parameters

from apps.accounts import browser, first_party
from apps.accounts.connections import redirect_uris_of
from apps.accounts.pages.answers import answer, visitor_of
from apps.accounts.pages.forms import SignIn, SignUp
from apps.core.errors import Refused
from apps.core.http.pages import message, page
from apps.core.http.redirects import NEXT, forms_may_lead_to, see_other, wanted_target

AUTHORIZE = "/oauth2/authorize"
"""Whoever comes from there may be sent on to the application at once."""


@sensitive_post_parameters()
@page("GET", "POST")
def sign_in(request: HttpRequest) -> HttpResponse:
    """The form; with the right name and password a new session, and on to where the person wanted to go."""
    form = SignIn(request.POST or None, initial={"username": request.GET.get("login_hint", "")})
    error = None
    if request.method == "POST" and form.is_valid():
        visitor = visitor_of(request)
        try:
            user = first_party.sign_in(form.cleaned_data["username"], form.cleaned_data["password"], visitor)
        except Refused as refusal:
            error = refusal
        else:
            browser.begin(request, user, visitor)
            return see_other(_target(request))
    return _entry(request, "account/sign_in.html", form, error)


@sensitive_post_parameters()
@page("GET", "POST")
def sign_up(request: HttpRequest) -> HttpResponse:
    """The form; with acceptable answers a new account, signed in at once."""
    form = SignUp(request.POST or None)
    error = None
    if request.method == "POST" and form.is_valid():
        values, visitor = form.cleaned_data, visitor_of(request)
        try:
            user = first_party.register(values["username"], values["email"], values["new_password"], visitor)
        except Refused as refusal:
            error = refusal
        else:
            browser.begin(request, user, visitor)
            messages.success(request, f"Welcome. We have sent an e-mail to {user.email}: please confirm your address.")
            return see_other(_target(request))
    return _entry(request, "account/sign_up.html", form, error)


@page("GET", "POST")
def sign_out(request: HttpRequest) -> HttpResponse:
    """Ask, then end this session."""
    if request.method != "POST" and request.user.is_authenticated:
        context = {
            "title": "Sign out?", "sentence": "You will be signed out in this browser.", "button": "Sign out",
            "back": settings.LOGIN_REDIRECT_URL, "back_label": "Stay signed in",
        }  # fmt: skip
        return render(request, "account/form.html", context)
    browser.finish(request)
    return message(request, "You are signed out", "You can close this window now.",
                   link=settings.LOGIN_URL, link_label="Sign in again")  # fmt: skip


def _target(request: HttpRequest) -> str:
    return wanted_target(request, settings.LOGIN_REDIRECT_URL)


def _entry(request: HttpRequest, template: str, form: SignIn | SignUp, error: Refused | None) -> HttpResponse:
    """The form's page. Its answer may end at the application on whose behalf the person signs in."""
    target = _target(request)
    asked_for = target != settings.LOGIN_REDIRECT_URL
    onward = "?" + urlencode({NEXT: target}) if asked_for else ""
    context: dict[str, Any] = {"asked_for": asked_for, "onward": onward}
    response = answer(request, template, form, error, context)
    forms_may_lead_to(response, *_applications_addresses(target))
    return response


def _applications_addresses(target: str) -> list[str]:
    parts = urlsplit(target)
    client_id = parse_qs(parts.query).get("client_id", [""])[0]
    return redirect_uris_of(client_id) if parts.path == AUTHORIZE else []
