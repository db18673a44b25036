"""What every request to a Django process leaves behind: its id in each log line, and one observation of its duration.

Both middlewares work under WSGI and ASGI without a thread hop of their own.
"""

import re
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPMethod
from typing import Any

import structlog
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.urls import ResolverMatch
from prometheus_client import Histogram

from apps.core.ids import request_id

Answer = HttpResponseBase | Awaitable[HttpResponseBase]
GetResponse = Callable[[HttpRequest], Any]
"""Django's next layer: gives an :data:`Answer`, to be awaited when the layer is a coroutine function."""

APPLICATIONS = {
    "auth": "auth-server",
    "token": "token-service",
    "analytics": "analytics-service",
    "registry": "service-discovery",
    "config": "config-server",
    "console": "console",
    "admin": "console",
    "account": "auth-server",
}
"""The name under which dashboards and alert rules know a service, by its name here or its URLs' namespace."""

SEVERAL = "leaky-tokens"
"""The application of what belongs to no service, such as ``/livez``, in a process that serves several."""

NO_ROUTE = "NOT_FOUND"
"""The one ``uri`` of all paths that no route has: a client must not be able to make series."""

OUTCOMES = {1: "INFORMATIONAL", 2: "SUCCESS", 3: "REDIRECTION", 4: "CLIENT_ERROR", 5: "SERVER_ERROR"}

REQUESTS = Histogram(
    "http_server_requests_seconds",
    "Time from the request's arrival to the answer's first byte.",
    ["application", "method", "uri", "status", "outcome"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


class RequestContextMiddleware:
    """Takes in ``X-Request-Id`` (or ``X-Correlation-Id``) when well-formed, binds it to the logs, and echoes it."""

    sync_capable = async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Answer:
        """Bind, answer, echo."""
        if self._is_async:
            return self._answer_later(request)
        with _bound_request_id(request) as identity:
            return _echo(self._get_response(request), identity)

    async def _answer_later(self, request: HttpRequest) -> HttpResponseBase:
        with _bound_request_id(request) as identity:
            return _echo(await self._get_response(request), identity)


class RequestMetricsMiddleware:
    """Observes each answer's duration in :data:`REQUESTS`. Errors have become answers before they come here."""

    sync_capable = async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Answer:
        """Answer, observe."""
        if self._is_async:
            return self._answer_later(request)
        began = time.perf_counter()
        return _observe(request, self._get_response(request), time.perf_counter() - began)

    async def _answer_later(self, request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        return _observe(request, await self._get_response(request), time.perf_counter() - began)


def application_of(match: ResolverMatch | None, services: Sequence[str]) -> str:
    """The ``application`` label: the service that the route belongs to, else the process's only one."""
    names = [*(match.namespaces if match else ()), *(services if len(services) == 1 else ())]
    return next((APPLICATIONS[name] for name in names if name in APPLICATIONS), SEVERAL)


def uri_of(match: ResolverMatch | None) -> str:
    """The ``uri`` label: the route with its parameters by name, ``/api/v1/tokens/purchase/{saga_id}``."""
    if match is None:
        return NO_ROUTE
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", match.route)


def method_of(method: str | None) -> str:
    """The ``method`` label: a method of HTTP, or ``OTHER`` for whatever else a client wrote."""
    return method if method and method in HTTPMethod.__members__ else "OTHER"


@contextmanager
def _bound_request_id(request: HttpRequest) -> Iterator[str]:
    identity = request_id(request.headers.get("x-request-id") or request.headers.get("x-correlation-id"))
    with structlog.contextvars.bound_contextvars(request_id=identity):
        yield identity


def _echo(response: HttpResponseBase, identity: str) -> HttpResponseBase:
    response.headers["X-Request-Id"] = identity
    response.headers["X-Correlation-Id"] = identity
    return response


def _observe(request: HttpRequest, response: HttpResponseBase, seconds: float) -> HttpResponseBase:
    match = request.resolver_match
    REQUESTS.labels(
        application=application_of(match, settings.SERVICES),
        method=method_of(request.method),
        uri=uri_of(match),
        status=str(response.status_code),
        outcome=OUTCOMES.get(response.status_code // 100, "UNKNOWN"),
    ).observe(seconds)
    return response
