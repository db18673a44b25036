"""Calls that are not model calls: authenticated here, and passed on to the service that answers them.

The gateway is the only public door. It consumes the client's credential and vouches for the caller with a token of its
own, for 30 seconds and one service; a service believes nothing else. Headers are passed on by a list of those that
services read, never by a list of those that they must not see.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import urlsplit

from joserfc.jwk import OKPKey

from apps.core.errors import ConfigurationError, StoreUnavailable
from apps.core.http import internal_token
from apps.core.http.caller import ANONYMOUS, Caller
from gateway import service_errors, settings
from gateway.control_plane import PUBLIC_URL, Principal
from gateway.errors import unavailable
from gateway.exchange import ClientGoneError, Exchange, Header
from gateway.services import Route, end_to_end, origins
from gateway.upstream.client import Limits, UpstreamError, UpstreamResponse, UpstreamTimeout, UpstreamUnreachable
from gateway.upstream.http1 import Http1Client
from gateway.upstream.pool import Pooling

Authenticate = Callable[[Exchange], Awaitable[Principal]]
"""Who presents the credential of a request; an :class:`ApiError` when it is not good."""

IDLE_SECONDS = 4.0
"""Less than the 5 s after which the services' server closes an idle connection without having said so."""

_POOLING = Pooling(max_connections=256, max_idle=64, idle_seconds=IDLE_SECONDS)
_LIMITS = Limits(
    connect=settings.SERVICE_CONNECT_SECONDS,
    first_byte=settings.SERVICE_SECONDS,
    between_chunks=settings.SERVICE_SECONDS,
)
_PASSED = frozenset(
    {
        b"accept",
        b"accept-language",
        b"content-type",
        b"idempotency-key",
        b"if-modified-since",
        b"if-none-match",
        b"origin",
        b"referer",
        b"user-agent",
        b"x-csrftoken",
        b"x-requested-with",
    }
)
"""What services read of a client's headers, beside the credentials of their kind."""

_OURS = frozenset({b"date", b"server", b"x-correlation-id", b"x-request-id"})
"""What the gateway writes itself into every answer."""

_CREDENTIALS = (b"authorization", b"x-api-key", b"x-goog-api-key")
_COOKIES = frozenset({b"set-cookie"})
_IDENTITY = internal_token.HEADER.lower().encode()
_PROTO = urlsplit(PUBLIC_URL).scheme.encode()


class Services:
    """The way to the services: connections, addresses, and the key that signs for callers."""

    def __init__(self, configured: Iterable[str], internal_key: str) -> None:
        """Take ``name=URL`` words and the key's 32 bytes in base64.

        Raises:
            ConfigurationError: one of them is missing or malformed.
        """
        self.origins = origins(configured)
        self.key = _signing_key(internal_key)
        self.client = Http1Client(_POOLING)

    async def close(self) -> None:
        """Close all connections."""
        await self.client.close()


def _signing_key(internal_key: str) -> OKPKey:
    try:
        return internal_token.signing_key(internal_key)
    except ConfigurationError as error:
        raise ConfigurationError(f"GATEWAY_INTERNAL_KEY: {error}") from error


async def forward(services: Services, authenticate: Authenticate, exchange: Exchange, route: Route) -> None:
    """Answer with what the service says.

    Raises:
        ApiError: a bad credential, a body over the cap, or the service is away.
        ClientGoneError: the client left before the answer's end.
    """
    exchange.fields["service"] = route.service
    service_errors.echo_correlation(exchange)
    caller = await _caller(authenticate, exchange, route)
    body = await exchange.any_body(settings.SERVICE_BODY_LIMIT)
    headers = _request_headers(exchange, route)
    token = internal_token.issue(caller, route.service, services.key, exchange.request_id)
    headers.append((_IDENTITY, token.encode()))
    try:
        async with asyncio.timeout(None) as presence:
            exchange.on_leave(lambda: None if presence.expired() else presence.reschedule(0))
            response = await _ask(services, exchange, route, headers, body)
            await _relay(exchange, route, response)
    except TimeoutError:
        raise ClientGoneError from None
    finally:
        exchange.end_watch()


async def _caller(authenticate: Authenticate, exchange: Exchange, route: Route) -> Caller:
    """The caller to vouch for: nobody, where no credential was sent or the service judges it itself."""
    if not (route.kind.authenticates and any(exchange.header(name) is not None for name in _CREDENTIALS)):
        return Caller(ANONYMOUS, ip=exchange.client_ip)
    try:
        return caller_of(await authenticate(exchange), exchange.client_ip)
    except StoreUnavailable:
        raise unavailable("Credentials cannot be checked at the moment.", code="store_unavailable") from None


def caller_of(principal: Principal, ip: str) -> Caller:
    """A gateway's principal as services know callers."""
    return Caller(
        kind=principal.kind,
        user_id=principal.user_id,
        roles=principal.roles,
        scopes=principal.scopes,
        credential_id=principal.key_id,
        client_id=principal.client_id,
        org_id=principal.bound_org_id,
        ip=ip,
    )


def _request_headers(exchange: Exchange, route: Route) -> list[Header]:
    passed = _PASSED | route.kind.passed
    headers = [(name, value) for name, value in end_to_end(exchange.headers, frozenset()) if name in passed]
    headers += [
        (b"x-request-id", exchange.request_id.encode()),
        (b"x-correlation-id", exchange.correlation_id.encode()),
        (b"traceparent", exchange.trace.traceparent().encode()),
        (b"x-forwarded-proto", _PROTO),
    ]
    if exchange.trace.state is not None:
        headers.append((b"tracestate", exchange.trace.state))
    return headers


async def _ask(
    services: Services, exchange: Exchange, route: Route, headers: list[Header], body: bytes
) -> UpstreamResponse:
    target = exchange.raw_path + (b"?" + exchange.query if exchange.query else b"")
    origin, method = services.origins[route.service], exchange.method.encode()
    try:
        return await services.client.request(
            origin, method, target, headers, body, _LIMITS, host=exchange.header(b"host")
        )
    except UpstreamTimeout:
        raise service_errors.too_slow(route.service) from None
    except UpstreamUnreachable:
        raise service_errors.unreachable(route.service) from None
    except UpstreamError:
        raise service_errors.broken(route.service) from None


async def _relay(exchange: Exchange, route: Route, response: UpstreamResponse) -> None:
    """Pass the answer on as it comes. One that breaks off is left without its end, so that the client sees it."""
    dropped = _OURS if b"cookie" in route.kind.passed else _OURS | _COOKIES
    try:
        await exchange.start_stream(response.status, end_to_end(response.headers, dropped))
        while piece := await response.chunk():
            await exchange.send_piece(piece)
        await exchange.end_stream()
    except UpstreamError:
        exchange.fields["error"] = "service_broke_off"
    finally:
        response.abort()
