"""Request context of the Django processes: the request id in every log line and answer."""

from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse

from apps.core.ids import request_id


class RequestContextMiddleware:
    """Takes in ``X-Request-Id`` (or ``X-Correlation-Id``) when well-formed, binds it to the logs, and echoes it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Bind, answer, echo."""
        identity = request_id(request.headers.get("x-request-id") or request.headers.get("x-correlation-id"))
        with structlog.contextvars.bound_contextvars(request_id=identity):
            response = self.get_response(request)
        response["X-Request-Id"] = identity
        response["X-Correlation-Id"] = identity
        return response
