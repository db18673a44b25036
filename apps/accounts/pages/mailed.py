"""Pages to which our e-mails lead, and those that have them sent."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters

from apps.accounts import passwords
from apps.accounts.pages.answers import answer, person, visitor_of
from apps.accounts.pages.forms import Forgot, Reset
from apps.core.errors import Unacceptable
from apps.core.http.pages import message, page, signed_in
from apps.core.http.redirects import see_other

STALE = "The link is too old, was used already, or is not complete."


@page("GET", "POST")
def forgot(request: HttpRequest) -> HttpResponse:
    """Ask for the address, and say the same whether anybody has it."""
    form = Forgot(request.POST or None)
    if request.method == "POST" and form.is_valid():
        passwords.request_reset(form.cleaned_data["email"])
        return message(
            request, "Look into your mail",
            "If an account has this address, a link is on its way with which you can choose a new password. "
            "It works for an hour.",
            link=settings.LOGIN_URL, link_label="Back to signing in",
        )  # fmt: skip
    context = {
        "title": "Forgot your password?", "button": "Send me a link", "back": settings.LOGIN_URL,
        "sentence": "Enter the address of your account. We will send you a link to choose a new password.",
        "back_label": "Back to signing in",
    }  # fmt: skip
    return answer(request, "account/form.html", form, None, context)


@sensitive_post_parameters()
@page("GET", "POST")
def reset(request: HttpRequest) -> HttpResponse:
    """Choose a new password with the link's token."""
    form = Reset(request.POST or None)
    error = None
    if request.method == "POST" and form.is_valid():
        try:
            passwords.reset_password(_token(request), form.cleaned_data["new_password"], visitor_of(request))
        except Unacceptable as refusal:
            if refusal.field == "token":
                return _stale(request)
            error = refusal
        else:
            return message(
                request, "Your password is changed", "You are signed out everywhere; sign in with the new password.",
                link=settings.LOGIN_URL, link_label="Sign in",
            )  # fmt: skip
    context = {
        "title": "Choose a new password", "button": "Change password",
        "sentence": "It ends all sessions and tokens of your account.",
    }  # fmt: skip
    return answer(request, "account/form.html", form, error, context)


@page("GET", "POST")
def verify(request: HttpRequest) -> HttpResponse:
    """Confirm an address by pressing a button: programs that look at mail open links, but they press nothing."""
    if request.method != "POST":
        context = {
            "title": "Confirm your address", "button": "Confirm",
            "sentence": "Press the button, and we know that our e-mails reach you.",
        }  # fmt: skip
        return render(request, "account/form.html", context)
    try:
        passwords.verify_email(_token(request), visitor_of(request))
    except Unacceptable:
        return _stale(request)
    return message(request, "Your address is confirmed", "Thank you. There is nothing more to do.",
                   link=settings.LOGIN_REDIRECT_URL, link_label="To your account")  # fmt: skip


@page("POST")
@signed_in
def resend(request: HttpRequest) -> HttpResponse:
    """Send the link of :func:`verify` again."""
    passwords.request_verification(person(request).pk)
    messages.success(request, "The e-mail is on its way.")
    return see_other(reverse("account:home"))


def _stale(request: HttpRequest) -> HttpResponse:
    return message(request, "The link does not work", STALE, status=400, link=settings.LOGIN_REDIRECT_URL,
                   link_label="To your account")  # fmt: skip


def _token(request: HttpRequest) -> str:
    return request.GET.get("token", "")
