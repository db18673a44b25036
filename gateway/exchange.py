"""One HTTP request and its answer: the body within its caps, the answer with its request id, the client's address, and
a word when the client leaves.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from apps.core.ids import REQUEST_ID, request_id
from gateway import settings
from gateway.addresses import TRUSTED_PROXIES, client_address
from gateway.errors import ApiError, bad_request
from gateway.server.request import ClientGoneError, Header, Request
from gateway.trace import Trace

__all__ = ["ClientGoneError", "Exchange", "Header", "check_head"]


class Exchange:
    """A request with the state of its answer. ``status`` is 0 until the answer has begun."""

    __slots__ = (
        "_client_ip", "_first", "_request", "added", "fields", "headers", "method", "path", "peer", "query", "raw_path",
        "request_id", "started", "status", "trace",
    )  # fmt: skip

    def __init__(self, request: Request, started: float) -> None:
        self._request, head = request, request.head
        self.method = head.method
        self.path = head.path
        self.raw_path = head.raw_path
        self.query = head.query
        self.peer = head.peer
        self._client_ip: str | None = None
        self.headers = head.headers
        self._first = dict(reversed(self.headers))
        self.started = started
        self.status = 0
        offered = self.header(b"x-request-id") or self.header(b"x-correlation-id")
        self.request_id = request_id(offered.decode("latin-1") if offered else None)
        self.trace = Trace.continued(self.header(b"traceparent"), self.header(b"tracestate"))
        self.fields: dict[str, Any] = {}
        """What the access log will say of this request beside the usual; never a body or a secret."""
        self.added: tuple[Header, ...] = ()
        """Headers that the answer gets whatever it is."""

    @property
    def client_ip(self) -> str:
        """The client's address: the peer's, or what the proxies that we trust say. Empty when there is no peer."""
        if self._client_ip is None:
            self._client_ip = client_address(self.peer, self.header_values(b"x-forwarded-for"), TRUSTED_PROXIES)
        return self._client_ip

    @property
    def correlation_id(self) -> str:
        """The caller's ``X-Correlation-Id`` when it is well-formed, else the request's id."""
        offered = (self.header(b"x-correlation-id") or b"").decode("latin-1")
        return offered if REQUEST_ID.fullmatch(offered) else self.request_id

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, by its lower-case name."""
        return self._first.get(name)

    def header_values(self, name: bytes) -> list[bytes]:
        """All values of a header, by its lower-case name."""
        return [value for key, value in self.headers if key == name]

    async def body(self) -> bytes:
        """The whole request body of a model call.

        Raises:
            ApiError: 413 over the cap, 415 when it is not plain JSON, 408 when it does not arrive in time, 426 when the
                request wants another protocol.
            ClientGoneError: the client closed instead.
        """
        self._check_framing()
        self._check_json()
        return await self._read(settings.BODY_LIMIT)

    async def any_body(self, limit: int) -> bytes:
        """The whole request body of any content type, up to ``limit`` bytes.

        Raises:
            ApiError, ClientGoneError: as :meth:`body`.
        """
        self._check_framing()
        return await self._read(limit)

    async def _read(self, limit: int) -> bytes:
        length = self.header(b"content-length")
        if length is not None and length.isdigit() and int(length) > limit:
            raise _too_large(limit)
        if self._request.is_complete:
            return _capped((await self._request.read())[0], limit)
        try:
            async with asyncio.timeout(settings.BODY_SECONDS):
                return await self._read_all(limit)
        except TimeoutError:
            raise ApiError(408, "request_timeout", "The request body did not arrive in time.", headers=CLOSE) from None

    def _check_framing(self) -> None:
        if self.header(b"upgrade") is not None and b"upgrade" in (self.header(b"connection") or b"").lower():
            # The parser takes what follows such a head for the other protocol, so the body never reaches us.
            raise _no_upgrade()
        if self.header(b"content-encoding") not in (None, b"identity"):
            raise ApiError(415, "unsupported_encoding", "Send the body without Content-Encoding.")

    def _check_json(self) -> None:
        kind, _, parameters = (self.header(b"content-type") or b"").lower().partition(b";")
        charset = parameters.replace(b" ", b"").replace(b'"', b"")
        if kind.strip() != b"application/json" or charset not in (b"", b"charset=utf-8"):
            raise ApiError(415, "unsupported_media_type", "Send JSON in UTF-8 as Content-Type: application/json.")

    async def _read_all(self, limit: int) -> bytes:
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            part, more = await self._request.read()
            parts.append(part)
            size += len(part)
            if size > limit:
                raise _too_large(limit)
        return b"".join(parts)

    def on_leave(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once when the client closes its connection before the answer's end, or has closed it."""
        self._request.when_gone(callback)

    def end_watch(self) -> None:
        """Watch no longer for the client's leaving."""
        self._request.on_leave = None

    async def answer(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        """Send a whole answer."""
        length = () if status == 204 else ((b"content-length", b"%d" % len(body)),)
        self.status = status
        self._request.answer(status, [*headers, *length, *self._own_headers()], body)

    async def start_stream(self, status: int, headers: Sequence[Header]) -> None:
        """Send the head of an answer whose body follows in pieces."""
        self.status = status
        self._request.begin(status, [*headers, *self._own_headers()])

    async def send_piece(self, piece: bytes) -> None:
        """Send a piece of the body; waits while the client does not read, so that memory stays bounded.

        Raises:
            TimeoutError: it has not read for too long.
        """
        if self._request.is_behind:
            async with asyncio.timeout(settings.STALL_SECONDS):
                await self._request.drain()
        self._request.send(piece)

    async def end_stream(self) -> None:
        """End the body."""
        self._request.end()

    def _own_headers(self) -> tuple[Header, ...]:
        return ((b"x-request-id", self.request_id.encode()), *self.added)


CLOSE: tuple[Header, ...] = ((b"connection", b"close"),)


def _no_upgrade() -> ApiError:
    message = "Only HTTP/1.1 is spoken here: send the request without Upgrade."
    return ApiError(426, "upgrade_not_supported", message, headers=((b"upgrade", b"HTTP/1.1"), *CLOSE))


def _capped(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> ApiError:
    return ApiError(413, "request_too_large", f"The body is larger than {limit} bytes.", headers=CLOSE)


def check_head(headers: list[Header]) -> None:
    """Refuse heads that the HTTP parser lets through: too large, without exactly one well-formed Host.

    Raises:
        ApiError: 431 or 400.
    """
    size, hosts = 4 * len(headers), []
    for name, value in headers:
        size += len(name) + len(value)
        if name == b"host":
            hosts.append(value)
    if size > settings.HEADER_LIMIT or len(headers) > settings.HEADER_COUNT_LIMIT:
        raise ApiError(431, "headers_too_large", "The request's headers are too large.", headers=CLOSE)
    if len(hosts) != 1 or not _is_served(hosts[0]):
        raise bad_request("The request needs exactly one valid Host header.", code="invalid_host")


@lru_cache(maxsize=256)
def _is_served(host: bytes) -> bool:
    if host.translate(None, b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]"):
        return False
    name = host.decode("ascii").rsplit(":", 1)[0] if not host.endswith(b"]") else host.decode("ascii")
    return bool(name) and (not settings.ALLOWED_HOSTS or name.lower() in settings.ALLOWED_HOSTS)
