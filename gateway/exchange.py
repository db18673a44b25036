"""One HTTP request and its answer, over ASGI: the body within its caps, the answer with its request id, the client's
address, and a watch on the client's leaving.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from apps.core.ids import REQUEST_ID, request_id
from gateway import settings
from gateway.addresses import TRUSTED_PROXIES, client_address
from gateway.errors import ApiError, bad_request
from gateway.trace import Trace

Header = tuple[bytes, bytes]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


WATCH_AFTER_SECONDS = 0.02


class ClientGoneError(Exception):
    """The client closed its connection before we answered; nobody is there to be told."""


class Exchange:
    """A request with the state of its answer. ``status`` is 0 until the answer has begun."""

    __slots__ = (
        "_client_ip", "_first", "_receive", "_send", "_watch", "added", "fields", "headers", "method", "path", "peer",
        "query", "raw_path", "request_id", "started", "status", "trace",
    )  # fmt: skip

    def __init__(self, scope: dict[str, Any], receive: Receive, send: Send, started: float) -> None:
        self._receive = receive
        self._send = send
        self._watch: asyncio.Task[None] | asyncio.TimerHandle | None = None
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        self.query: bytes = scope["query_string"]
        self.peer: str = scope["client"][0] if scope.get("client") else ""
        self._client_ip: str | None = None
        self.headers: list[Header] = scope["headers"]
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
        message = await self._receive()
        if not message.get("more_body") and message["type"] == "http.request":
            return _capped(bytes(message["body"]), limit)
        try:
            async with asyncio.timeout(settings.BODY_SECONDS):
                return await self._read_on(message, limit)
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

    async def _read_on(self, message: dict[str, Any], limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            parts.append(message["body"])
            size += len(message["body"])
            if size > limit:
                raise _too_large(limit)
            if not message.get("more_body"):
                return b"".join(parts)
            message = await self._receive()

    def on_leave(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` soon after the client closes its connection. To be called once the body has been read.

        The watch is a task, which costs more than many a short call's own work: it begins when a call is no longer
        short. A client that has left before is noticed then.
        """
        self._watch = asyncio.get_running_loop().call_later(WATCH_AFTER_SECONDS, self._begin_watch, callback)

    def _begin_watch(self, callback: Callable[[], None]) -> None:
        self._watch = asyncio.get_running_loop().create_task(self._until_gone(callback))

    async def _until_gone(self, callback: Callable[[], None]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        callback()

    async def answer(self, status: int, headers: Iterable[Header], body: bytes) -> None:
        """Send a whole answer."""
        self.end_watch()
        length = () if status == 204 else ((b"content-length", b"%d" % len(body)),)
        await self._start(status, [*headers, *length])
        await self._send({"type": "http.response.body", "body": b"" if self.method == "HEAD" else body})

    async def start_stream(self, status: int, headers: Iterable[Header]) -> None:
        """Send the head of an answer whose body follows in pieces."""
        await self._start(status, list(headers))

    async def send_piece(self, piece: bytes) -> None:
        """Send a piece of the body; waits while the client does not read, so that memory stays bounded."""
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end_stream(self) -> None:
        """End the body."""
        self.end_watch()
        await self._send({"type": "http.response.body", "body": b""})

    async def _start(self, status: int, headers: list[Header]) -> None:
        self.status = status
        headers.append((b"x-request-id", self.request_id.encode()))
        headers.extend(self.added)
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    def end_watch(self) -> None:
        """Watch no longer for the client's leaving."""
        if self._watch is not None:
            self._watch.cancel()


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
    size = sum(len(name) + len(value) + 4 for name, value in headers)
    if size > settings.HEADER_LIMIT or len(headers) > settings.HEADER_COUNT_LIMIT:
        raise ApiError(431, "headers_too_large", "The request's headers are too large.", headers=CLOSE)
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) != 1 or not _is_served(hosts[0]):
        raise bad_request("The request needs exactly one valid Host header.", code="invalid_host")


def _is_served(host: bytes) -> bool:
    if host.translate(None, b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]"):
        return False
    name = host.decode("ascii").rsplit(":", 1)[0] if not host.endswith(b"]") else host.decode("ascii")
    return bool(name) and (not settings.ALLOWED_HOSTS or name.lower() in settings.ALLOWED_HOSTS)
