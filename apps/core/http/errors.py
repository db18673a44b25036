"""The services' error table: every refusal as one JSON shape, a superset of what clients of the original read.

    {"message", "timestamp", "status", "path", "correlationId", "code", "errors": [{"field", "message"}]}

``errors`` is there for field validation only. 401 carries ``WWW-Authenticate``; no answer says more than the caller's
own input and right.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db import DatabaseError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from apps.core.errors import Conflict, InvalidCredential, LockedOut, NotFound, Refused, StoreUnavailable, Unacceptable

log = structlog.get_logger(__name__)


class ApiError(exceptions.APIException):
    """A refusal with a status, a stable code and a sentence; ``headers`` go with it."""

    def __init__(self, status: int, code: str, message: str, *, headers: dict[str, str] | None = None) -> None:
        self.status_code = status
        self.headers = headers or {}
        super().__init__(message, code)


class FieldErrors(ApiError):
    """400 with one sentence per field. ``message`` repeats the first, for clients that read only that."""

    def __init__(self, errors: Iterable[tuple[str, str]]) -> None:
        self.errors = [{"field": field, "message": message} for field, message in errors]
        super().__init__(400, "invalid_request", self.errors[0]["message"])


def bad_request(message: str, code: str = "invalid_request") -> ApiError:
    """400 with a sentence."""
    return ApiError(400, code, message)


def not_found(message: str = "not found") -> ApiError:
    """404: it is not there, or not yours; the two look the same."""
    return ApiError(404, "not_found", message)


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Django REST framework's exception handler."""
    request: HttpRequest = context["request"]._request  # noqa: SLF001 (DRF has no public name for it)
    status, code, message, extra, headers = _answer(error)
    if status >= 500:
        log.error("request.failed", exc_info=error)
    set_rollback()
    return Response(body(request, status, code, message) | extra, status=status, headers=headers)


def body(request: HttpRequest, status: int, code: str, message: str) -> dict[str, Any]:
    """The JSON object of an error."""
    identity = structlog.contextvars.get_contextvars().get("request_id")
    return {
        "message": message,
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "status": status,
        "path": request.path,
        "correlationId": identity,
        "code": code,
    }


def answer(request: HttpRequest, status: int, code: str, message: str) -> JsonResponse:
    """The same outside Django REST framework."""
    return JsonResponse(body(request, status, code, message), status=status)


def no_route(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:  # noqa: ARG001
    """Django's ``handler404``."""
    return answer(request, 404, "not_found", "There is nothing at this address.")


def broken(request: HttpRequest) -> JsonResponse:
    """Django's ``handler500``; the traceback is in the log under the request id."""
    return answer(request, 500, "internal_error", "The request could not be handled.")


_Answer = tuple[int, str, str, dict[str, Any], dict[str, str]]

_TABLE: tuple[tuple[tuple[type[Exception], ...], tuple[int, str, str, dict[str, str]]], ...] = (
    (
        (exceptions.NotAuthenticated, exceptions.AuthenticationFailed, InvalidCredential),
        (401, "invalid_token", "A valid credential is needed.", {"WWW-Authenticate": "Bearer"}),
    ),
    ((Http404, exceptions.NotFound, NotFound), (404, "not_found", "not found", {})),
    ((exceptions.MethodNotAllowed,), (405, "method_not_allowed", "This address does not take this method.", {})),
    ((DjangoPermissionDenied,), (403, "forbidden", "This is not yours to do.", {})),
    (
        (DatabaseError, StoreUnavailable),
        (503, "store_unavailable", "A store did not answer; nothing was changed.", {"Retry-After": "2"}),
    ),
)
"""Errors whose answer says nothing of its own; the first that fits counts."""


def _answer(error: Exception) -> _Answer:
    for kinds, (status, code, message, headers) in _TABLE:
        if isinstance(error, kinds):
            return status, code, message, {}, headers
    if isinstance(error, exceptions.ValidationError):
        return _invalid(list(_fields(error.detail)))
    if isinstance(error, exceptions.APIException):
        return _spoken(error)
    if isinstance(error, Refused):
        return _refused(error)
    return 500, "internal_error", "The request could not be handled.", {}, {}


def _refused(error: Refused) -> _Answer:
    if isinstance(error, Unacceptable):
        return _invalid([{"field": error.field, "message": error.message}])
    if isinstance(error, LockedOut):
        message = f"Too many wrong passwords. Try again in {error.wait_seconds} seconds."
        return 429, error.code, message, {}, {"Retry-After": str(error.wait_seconds)}
    return 409 if isinstance(error, Conflict) else 403, error.code, str(error) or "refused", {}, {}


def _invalid(errors: list[dict[str, str]]) -> _Answer:
    return 400, "invalid_request", errors[0]["message"], {"errors": errors}, {}


def _spoken(error: exceptions.APIException) -> _Answer:
    """An error that brings its own sentence."""
    code = str(error.get_codes())
    extra = {"errors": error.errors} if isinstance(error, FieldErrors) else {}
    headers = error.headers if isinstance(error, ApiError) else {**_challenge(code), **_waiting(error)}
    return error.status_code, code, str(error.detail), extra, headers


def _challenge(code: str) -> dict[str, str]:
    return {"WWW-Authenticate": f'Bearer error="{code}"'} if code == "insufficient_scope" else {}


def _waiting(error: exceptions.APIException) -> dict[str, str]:
    wait = getattr(error, "wait", None)
    return {"Retry-After": str(int(wait))} if wait else {}


def _fields(detail: Any, name: str = "") -> Iterable[dict[str, str]]:
    """Each field's sentences, with the way to the field: ``limits.tokens``."""
    if isinstance(detail, dict):
        for key, value in detail.items():
            own = "" if key == "non_field_errors" else str(key)
            yield from _fields(value, f"{name}.{own}".strip("."))
    elif isinstance(detail, list):
        for value in detail:
            yield from _fields(value, name)
    else:
        yield {"field": name, "message": str(detail)}
