"""A client's connection: bytes to requests and answers to bytes, HTTP/1.1 on llhttp, under uvicorn's server.

uvicorn listens, handles signals, and lets calls finish when it stops. Its own protocol speaks ASGI, whose messages,
events and header checks cost a call more than its parsing does; and who wants to know that a client has left must wait
for that in a task. Here a request is an object, an answer is one write, and a client's leaving is a callback.

Time costs nothing per request: one timer per connection looks, when it fires, whether the connection has been idle.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn import Config
from uvicorn.server import ServerState

from gateway.server.request import Head, Header, Request
from gateway.settings import HEADER_LIMIT

log = logging.getLogger(__name__)

Application = Callable[[Request], Awaitable[None]]

IDLE_SECONDS = 75.0
MOST_WAITING = 8
"""Requests that a client may send ahead; with more, we read no further before some are answered."""

_NOT_HTTP = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 30\r\n"
    b"connection: close\r\n\r\nInvalid HTTP request received."
)


class Connection(asyncio.Protocol):
    """Requests of one connection are answered one after the other, in the order of their arrival."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any],  # noqa: ARG002 - uvicorn's
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:  # fmt: skip
        self._loop = _loop or asyncio.get_running_loop()
        self._serve = cast("Application", cast("Any", config.loaded_app).serve)
        self._server = server_state
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        # What follows a request that closes the connection is nobody's; it must not spoil the answer to that request.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._transport: asyncio.Transport
        self._peer = ""
        self._answering: Request | None = None
        self._receiving: Request | None = None
        self._waiting: deque[Request] = deque()
        self._drained: asyncio.Future[None] | None = None
        self._is_reading, self._is_lost = True, False
        self._worker: asyncio.Task[None] | None = None
        self._idle: asyncio.Future[None] | None = None
        self._idle_since = self._loop.time()
        self._timer = self._loop.call_later(IDLE_SECONDS, self._on_timer)

    # What the loop does.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and the address of whoever is at its other end."""
        self._server.connections.add(cast("Any", self))
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) else ""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """The client has left. Whoever works for it is told at once."""
        self._server.connections.discard(cast("Any", self))
        self._timer.cancel()
        self._parser = None  # It and this object point at each other, which is work for the garbage collector.
        self.resume_writing()
        self._is_lost, self._receiving = True, None
        self._waiting.clear()
        if self._answering is not None:
            self._answering.lose()
        elif self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Parse; what is not HTTP is answered in plain words, and ends the connection."""
        if self._parser is None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # The request is served as it is; what follows its head is for a protocol that we do not speak.
        except httptools.HttpParserError:
            self._transport.write(_NOT_HTTP)
            self._transport.close()

    def pause_writing(self) -> None:
        """The client does not read as fast as we write."""
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        """It has caught up."""
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def shutdown(self) -> None:
        """Of uvicorn: end when what has arrived is answered, or now."""
        if self._answering is None:
            self._transport.close()
        else:
            (self._waiting[-1] if self._waiting else self._answering).keep_alive = False

    def _on_timer(self) -> None:
        idle_for = 0.0 if self._answering else self._loop.time() - self._idle_since
        if idle_for >= IDLE_SECONDS:
            self._transport.close()
        else:
            self._timer = self._loop.call_later(IDLE_SECONDS - idle_for, self._on_timer)

    # What the parser finds.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._url = b""
        self._headers: list[Header] = []
        self._head_size = 0
        self._expects_continue = False

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._url += url
        if len(self._url) > HEADER_LIMIT:
            raise ValueError("the target exceeds the cap of a head")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, up to the one that exceeds the cap: by it the whole head will be refused."""
        if self._head_size > HEADER_LIMIT:
            return
        name = name.lower()
        self._head_size += len(name) + len(value) + 4
        if name == b"expect" and value.lower() == b"100-continue":
            self._expects_continue = True
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Serve the request, or queue it behind those that came before."""
        parser = cast("httptools.HttpRequestParser", self._parser)
        version = parser.get_http_version()
        path, raw_path, query = _read_once(self._url) if b"?" not in self._url else _read(self._url)
        may_stay = version != "1.0" and parser.should_keep_alive()
        head = Head(
            parser.get_method().decode("ascii"), path, raw_path, query, self._peer, self._headers, version, may_stay,
            self._expects_continue,
        )  # fmt: skip
        request = self._receiving = Request(self, head)
        if self._answering is None:
            self._start(request)
        else:
            self._waiting.append(request)
            if len(self._waiting) >= MOST_WAITING:
                self.stop_reading()

    def on_body(self, piece: bytes) -> None:
        """A piece of the request's body."""
        if self._receiving is not None:
            self._receiving.feed(piece)

    def on_message_complete(self) -> None:
        """The request's end."""
        if self._receiving is not None:
            self._receiving.feed_end()

    # What requests do.

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that serves the connection."""
        return self._loop

    @property
    def default_headers(self) -> list[Header]:
        """What every answer carries: uvicorn's, which it makes anew each second."""
        return self._server.default_headers

    def write(self, data: bytes) -> None:
        """Send bytes; they may wait in memory."""
        if not self._transport.is_closing():
            self._transport.write(data)

    @property
    def drained(self) -> asyncio.Future[None] | None:
        """What to wait for before more is written; None: write on."""
        return self._drained

    def stop_reading(self) -> None:
        """Take nothing more from the client for now."""
        if self._is_reading and not self._transport.is_closing():
            self._is_reading = False
            self._transport.pause_reading()

    def read_on(self) -> None:
        """Go on reading, unless too many requests wait."""
        if not self._is_reading and len(self._waiting) < MOST_WAITING and not self._transport.is_closing():
            self._is_reading = True
            self._transport.resume_reading()

    def finish(self, request: Request) -> None:
        """The answer to ``request`` is complete: close, or go on with the next one."""
        self._answering = None
        if not request.keep_alive:
            self._transport.close()
            return
        self._idle_since = self._loop.time()
        if self._waiting:
            self._start(self._waiting.popleft())
        self.read_on()

    def _start(self, request: Request) -> None:
        self._answering = request
        if self._worker is None:
            self._worker = self._loop.create_task(self._work())
            self._server.tasks.add(self._worker)
        elif self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def _work(self) -> None:
        """Serve one request after the other. A task for each would cost more than parsing it does."""
        try:
            while not self._is_lost:
                if self._answering is not None:
                    await self._serve_one(self._answering)
                if self._answering is None and not self._is_lost:
                    self._idle = self._loop.create_future()
                    await self._idle
        finally:
            self._server.tasks.discard(cast("asyncio.Task[None]", self._worker))
            self._worker = None
            if self._answering is not None:  # We were cancelled, and nobody would serve it.
                self._transport.close()

    async def _serve_one(self, request: Request) -> None:
        try:
            await self._serve(request)
        except Exception:  # The application answers its own faults; none that escapes may end the connection's task.
            log.exception("an error escaped the application")
        finally:
            if not request.is_answered:  # Left without its end, so that the client can tell.
                self._answering = None
                self._transport.close()


def _read(url: bytes) -> tuple[str, bytes, bytes]:
    """The decoded path, the path as it came, the query."""
    parsed = httptools.parse_url(url)
    raw_path = parsed.path or b""
    return unquote(raw_path.decode("ascii")), raw_path, parsed.query or b""


_read_once = lru_cache(maxsize=1024)(_read)
"""For targets without a query, which may hold a secret."""
