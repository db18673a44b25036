"""What the services' refusals look like in a form, and what the pages know of whoever sends it."""

import math
from collections.abc import Mapping
from typing import Any, cast

from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.accounts.domain import Visitor
from apps.accounts.models import User
from apps.core.errors import InvalidCredential, LockedOut, Refused, Unacceptable
from apps.core.http.views import client_ip

FIELDS = {"password": "new_password", "newPassword": "new_password", "currentPassword": "current_password"}
"""Fields of the services that the forms call otherwise."""


def visitor_of(request: HttpRequest) -> Visitor:
    """From where this comes."""
    return Visitor(client_ip(request), request.headers.get("User-Agent", ""))


def person(request: HttpRequest) -> User:
    """Who has signed in; for views that nobody else reaches."""
    return cast("User", request.user)


def answer(
    request: HttpRequest, template: str, form: Form, error: Refused | None, context: Mapping[str, Any]
) -> HttpResponse:
    """The form's page: 200 before anything was entered, otherwise with what is wrong beside the field."""
    if error is not None:
        form.add_error(*_spoken(form, error))
    locked = isinstance(error, LockedOut)
    status = 429 if locked else 400 if form.errors else 200
    response = render(request, template, {"form": form, **context}, status=status)
    if isinstance(error, LockedOut):
        response["Retry-After"] = str(error.wait_seconds)
    return response


def _spoken(form: Form, error: Refused) -> tuple[str | None, str]:
    """The field (None: the whole form) and the sentence."""
    if isinstance(error, LockedOut):
        return None, f"Too many wrong passwords. Please wait {duration(error.wait_seconds)}, then try again."
    if isinstance(error, Unacceptable):
        field = FIELDS.get(error.field, error.field)
        field = field if field in form.fields else error.field
        return (field if field in form.fields else None), _sentence(error.message)
    if isinstance(error, InvalidCredential):
        return None, "The username or the password is not right."
    return None, str(error)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def duration(seconds: int) -> str:
    """Whole seconds in words, rounded up to minutes when there are many."""
    if seconds > 90:
        return f"{math.ceil(seconds / 60)} minutes"
    return "1 second" if seconds == 1 else f"{seconds} seconds"
