"""One request of a client and the way of its answer: what the gateway needs of a server, and no more."""

import asyncio
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Protocol

import msgspec

Header = tuple[bytes, bytes]

READ_AHEAD_BYTES = 64 * 1024
"""Above this, reading pauses until the body has been taken."""

_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}
_STATUS_LINES = {code: b"HTTP/1.1 %d %b" % (code, _PHRASES.get(code, b"")) for code in range(100, 600)}
_WITHOUT_BODY = frozenset({204, 304})


class ClientGoneError(Exception):
    """The client closed its connection before we answered; nobody is there to be told."""


class Head(msgspec.Struct, frozen=True):
    """What a request says before its body. ``path`` is decoded; names of headers are lower case. ``may_stay``: the
    client leaves the connection open; ``must_be_asked``: it sends no body before it is told to (100-continue).
    """

    method: str
    path: str
    raw_path: bytes
    query: bytes
    peer: str
    headers: list[Header]
    version: str = "1.1"
    may_stay: bool = True
    must_be_asked: bool = False


class Line(Protocol):
    """The connection under a request."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that serves it."""

    @property
    def default_headers(self) -> Sequence[Header]:
        """What every answer carries."""

    @property
    def drained(self) -> asyncio.Future[None] | None:
        """What to wait for before more is written; None: write on."""

    def write(self, data: bytes) -> None:
        """Send bytes; nothing happens when it is closed."""

    def stop_reading(self) -> None:
        """Take nothing more from the client for now."""

    def read_on(self) -> None:
        """Go on reading."""

    def finish(self, request: "Request") -> None:
        """The answer to ``request`` is complete."""


class Request:
    """A request whose head has come. ``on_leave`` is called once, when its client leaves before the answer's end."""

    __slots__ = (
        "_body", "_buffered", "_framing", "_has_all", "_is_lost", "_line", "_must_ask", "_waiter", "head",
        "is_answered", "keep_alive", "on_leave",
    )  # fmt: skip

    def __init__(self, line: Line, head: Head) -> None:
        self.head = head
        self.keep_alive = head.may_stay
        self.on_leave: Callable[[], None] | None = None
        self.is_answered = False
        self._line = line
        self._must_ask = head.must_be_asked
        self._body: list[bytes] = []
        self._buffered = 0
        self._has_all = self._is_lost = False
        self._waiter: asyncio.Future[None] | None = None
        self._framing = "none"

    # Towards us.

    @property
    def is_complete(self) -> bool:
        """Whether all of the body has come."""
        return self._has_all

    def when_gone(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` when the client leaves before the answer's end; at once, if it has left."""
        self.on_leave = callback
        if self._is_lost:
            callback()

    async def read(self) -> tuple[bytes, bool]:
        """What has come of the body, or wait for more; and whether more follows.

        Raises:
            ClientGoneError
        """
        if self._must_ask and not self._is_lost:
            self._must_ask = False
            self._line.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self._has_all or self._body or self._is_lost):
            self._waiter = self._line.loop.create_future()
            await self._waiter
        if self._is_lost:
            raise ClientGoneError
        piece = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body, self._buffered = [], 0
        self._line.read_on()
        return piece, not self._has_all

    def feed(self, piece: bytes) -> None:
        """Of the connection: a piece has arrived. After the answer nobody wants it."""
        if self.is_answered:
            return
        self._body.append(piece)
        self._buffered += len(piece)
        if self._buffered > READ_AHEAD_BYTES:
            self._line.stop_reading()
        self._wake()

    def feed_end(self) -> None:
        """Of the connection: the body is complete."""
        self._has_all = True
        self._wake()

    def lose(self) -> None:
        """Of the connection: the client is gone."""
        self._is_lost = True
        self._wake()
        if self.on_leave is not None and not self.is_answered:
            self.on_leave()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # Towards the client. Once it has left, all of this does nothing.

    def answer(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        """Send a whole answer; ``headers`` holds its length."""
        self._line.write(self._head(status, headers) + (b"" if self.head.method == "HEAD" else body))
        self._end()

    def begin(self, status: int, headers: Sequence[Header]) -> None:
        """Send the head of an answer whose body follows: in chunks, unless a header says its length."""
        self._framing = self._framing_of(status, headers)
        extra = [(b"transfer-encoding", b"chunked")] if self._framing == "chunked" else []
        self._line.write(self._head(status, [*headers, *extra]))

    def send(self, piece: bytes) -> None:
        """Send a piece of the body. See :meth:`drain`."""
        if self._framing == "chunked":
            self._line.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        elif self._framing == "plain":
            self._line.write(piece)

    def end(self) -> None:
        """End the body."""
        if self._framing == "chunked":
            self._line.write(b"0\r\n\r\n")
        self._end()

    @property
    def is_behind(self) -> bool:
        """Whether the client does not read as fast as it is sent to; then :meth:`drain` comes before the next piece."""
        return self._line.drained is not None

    async def drain(self) -> None:
        """Wait until the client has caught up, or is gone."""
        while (drained := self._line.drained) is not None:
            await asyncio.shield(drained)

    def _end(self) -> None:
        self.is_answered, self.on_leave = True, None
        self._line.finish(self)

    def _head(self, status: int, headers: Sequence[Header]) -> bytes:
        """The bytes of a head.

        Raises:
            ValueError: a header that would not stay within its line. Nothing has been sent.
        """
        lines = [_STATUS_LINES[status], *map(b": ".join, self._line.default_headers), *map(b": ".join, headers)]
        if (b"connection", b"close") in headers:
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close")
        head = b"\r\n".join(lines)
        if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1 or b"\0" in head:
            raise ValueError("a header holds CR, LF or NUL")
        return head + b"\r\n\r\n"

    def _framing_of(self, status: int, headers: Sequence[Header]) -> str:
        if self.head.method == "HEAD" or status in _WITHOUT_BODY:
            return "none"
        if any(name == b"content-length" for name, _ in headers):
            return "plain"
        if self.head.version == "1.0":
            self.keep_alive = False
            return "plain"
        return "chunked"
