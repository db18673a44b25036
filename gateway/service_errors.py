"""The gateway's own refusals on the services' paths, in the services' shapes.

Clients of ``/api`` read one shape, whoever refuses: the one of :mod:`apps.core.http.errors`. OAuth2 clients read
``{"error", "error_description"}`` (RFC 6749, section 5.2). All else is OpenAI's.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from gateway.errors import ApiError
from gateway.exchange import Exchange

_OAUTH = "/oauth2/"
_SERVICE_PATHS = ("/api/", "/.well-known/", "/account", "/static/", "/v3/", "/swagger-ui", "/redoc")


@dataclass
class ServiceAway(ApiError):
    """503 or 504: a service of ours does not answer. ``service`` is its name, which old clients read."""

    service: str = ""


def unreachable(service: str) -> ServiceAway:
    """503: it is not there, and has seen nothing of the request."""
    return _away(503, "service_unavailable", f"The {service} service is unavailable.", service, should_retry=True)


def broken(service: str) -> ServiceAway:
    """503: it broke off before its answer had begun; what became of the request is not known."""
    return _away(503, "service_unavailable", f"The {service} service became unavailable.", service)


def too_slow(service: str) -> ServiceAway:
    """504: it has the request, and has not answered in time; what became of the request is not known."""
    return _away(504, "service_timeout", f"The {service} service did not answer in time.", service)


def _away(status: int, code: str, message: str, service: str, *, should_retry: bool = False) -> ServiceAway:
    return ServiceAway(
        status, code, message, type="server_error", retry_after_ms=2000, should_retry=should_retry, service=service
    )


def body(exchange: Exchange, error: ApiError) -> bytes:
    """The error as clients of the exchange's path read errors."""
    if exchange.path.startswith(_OAUTH):
        return orjson.dumps(_of_oauth(error))
    if exchange.path.startswith(_SERVICE_PATHS):
        return orjson.dumps(_of_services(exchange, error))
    return error.body()


def echo_correlation(exchange: Exchange) -> None:
    """Have ``X-Correlation-Id`` in the answer, whatever that will be, once; only what the services answer has it."""
    header = (b"x-correlation-id", exchange.correlation_id.encode())
    if exchange.path.startswith((_OAUTH, *_SERVICE_PATHS)) and header not in exchange.added:
        exchange.added += (header,)


def _of_services(exchange: Exchange, error: ApiError) -> dict[str, Any]:
    said = {
        "message": error.message,
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "status": error.status,
        "path": exchange.path,
        "correlationId": exchange.correlation_id,
        "code": error.code,
    }
    return said | ({"service": error.service} if isinstance(error, ServiceAway) else {})


def _of_oauth(error: ApiError) -> dict[str, Any]:
    code = "temporarily_unavailable" if error.status >= 500 else "invalid_request"
    return {"error": code, "error_description": error.message}
