"""Around every request: checks of its head, routing, the one place where errors become answers, log and metric."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import structlog

from apps.core.errors import StoreUnavailable
from gateway import access_log, cors, errors, health, line, metrics, models, passthrough, service_errors, settings
from gateway.dialects.openai.operations import CHAT, EMBEDDINGS
from gateway.errors import ApiError
from gateway.exchange import ClientGoneError, Exchange, check_head
from gateway.server.request import Request
from gateway.services import Route, route_of

if TYPE_CHECKING:
    from gateway.app import Gateway

log = structlog.get_logger("gateway")

Handler = Callable[["Gateway", Exchange], Awaitable[None]]
_KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_METRICS_NETWORKS = [ip_network(network) for network in settings.METRICS_NETWORKS]
_MODEL_PREFIX = "/v1/models/"
_PREFLIGHT = "preflight"


def _outcome(status: int) -> str:
    return "SUCCESS" if status < 400 else "CLIENT_ERROR" if status < 500 else "SERVER_ERROR"


_STATUS_LABELS = {status: (str(status), _outcome(status)) for status in (0, *range(100, 600))}
"""A status as the metrics' labels say it; 0 of a call that ended without one."""


async def handle(gateway: "Gateway", request: Request) -> None:
    """Answer one request, whatever it is."""
    exchange = Exchange(request, asyncio.get_running_loop().time())
    route = "unmatched"
    try:
        check_head(exchange.headers)
        route, handler = (_PREFLIGHT, _preflight) if _is_preflight(exchange) else _route(exchange)
        await handler(gateway, exchange)
    except ApiError as error:
        await _answer(exchange, error)
    except ClientGoneError:
        exchange.status = exchange.status or 499
    except StoreUnavailable as error:
        exchange.fields["reason"] = str(error)  # For the log; the caller is told no more than that it may try again.
        await _answer(exchange, errors.quota_unavailable())
    except Exception:  # The last line: a fault that nobody foresaw is an answer and a traceback, not a dead socket.
        log.exception("request.failed", request_id=exchange.request_id, route=route)
        await _answer(exchange, errors.internal())
    finally:
        _record(exchange, route)


def _route(exchange: Exchange) -> tuple[str, Handler]:
    """The route's pattern and its handler. Decided by the decoded path alone, never by the Host.

    Raises:
        ApiError: 404, 405 or 501.
    """
    path, method = exchange.path, exchange.method
    methods = _ROUTES.get(path)
    pattern = path
    if methods is None and path.startswith(_MODEL_PREFIX) and len(path) > len(_MODEL_PREFIX):
        methods, pattern = {"GET": _one_model}, _MODEL_PREFIX + "{id}"
    if methods is None:
        return _route_to_service(exchange)
    handler = methods.get("GET" if method == "HEAD" else method)
    if handler is None:
        raise _wrong_method(method, methods)
    return pattern, handler


def _route_to_service(exchange: Exchange) -> tuple[str, Handler]:
    """Which methods it takes, the service knows."""
    route = route_of(exchange.path, exchange.raw_path)
    if route is None:
        raise ApiError(404, "not_found", "There is nothing at this address.")
    if exchange.method not in _KNOWN_METHODS:
        raise _wrong_method(exchange.method, {})
    return route.pattern, partial(_service, route=route)


def _wrong_method(method: str, methods: dict[str, Handler]) -> ApiError:
    if method not in _KNOWN_METHODS:
        return ApiError(501, "method_not_implemented", "This method is not known here.")
    allowed = ", ".join(methods).encode()
    return ApiError(
        405, "method_not_allowed", "This address does not take this method.", headers=((b"allow", allowed),)
    )


async def _answer(exchange: Exchange, error: ApiError) -> None:
    if exchange.status:
        return
    exchange.fields["error"] = error.code
    service_errors.echo_correlation(exchange)
    await exchange.answer(error.status, error.response_headers(), service_errors.body(exchange, error))


def _record(exchange: Exchange, route: str) -> None:
    seconds = asyncio.get_running_loop().time() - exchange.started
    status = exchange.status
    metrics.tally.time(seconds, "api-gateway", exchange.method, route, *_STATUS_LABELS[status])
    access_log.write({
        "time": time.time(), "request_id": exchange.request_id, "trace_id": exchange.trace.trace_id,
        "method": exchange.method, "route": route, "status": status, "duration_ms": round(seconds * 1000, 3),
    } | exchange.fields)  # fmt: skip


async def _chat(gateway: "Gateway", exchange: Exchange) -> None:
    await line.serve(gateway, exchange, CHAT)


async def _embeddings(gateway: "Gateway", exchange: Exchange) -> None:
    await line.serve(gateway, exchange, EMBEDDINGS)


async def _one_model(gateway: "Gateway", exchange: Exchange) -> None:
    await models.retrieve_model(gateway, exchange, exchange.path.removeprefix(_MODEL_PREFIX))


def _is_preflight(exchange: Exchange) -> bool:
    """Also marks the answer for browsers. Costs nothing where no other origin may call."""
    return bool(cors.ORIGINS) and cors.apply(exchange, cors.ORIGINS)


async def _preflight(_gateway: "Gateway", exchange: Exchange) -> None:
    await cors.answer_preflight(exchange)


async def _service(gateway: "Gateway", exchange: Exchange, route: Route) -> None:
    await passthrough.forward(gateway.services, gateway.authenticator.principal, exchange, route)


async def _metrics(_gateway: "Gateway", exchange: Exchange) -> None:
    """Prometheus' page, for the operator's networks only; to others it is not there."""
    if not exchange.peer or not any(ip_address(exchange.peer) in network for network in _METRICS_NETWORKS):
        raise ApiError(404, "not_found", "There is nothing at this address.")
    kind = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
    await exchange.answer(200, (kind,), metrics.exposition())


_ROUTES: dict[str, dict[str, Handler]] = {
    "/v1/chat/completions": {"POST": _chat},
    "/v1/embeddings": {"POST": _embeddings},
    "/v1/models": {"GET": models.list_models},
    "/livez": {"GET": health.livez},
    "/readyz": {"GET": health.readyz},
    "/metrics": {"GET": _metrics},
}
