"""A client's connection: what its bytes become, and what goes back, without a network."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.server.connection import MOST_WAITING, Connection
from gateway.server.request import ClientGoneError, Request

GET = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n"
Application = Callable[[Request], Awaitable[None]]


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.closed = False
        self.paused = False

    def get_extra_info(self, _name: str) -> Any:
        return ("203.0.113.7", 1)

    def is_closing(self) -> bool:
        return self.closed

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Client:
    """A connection to ``serve``, as its event loop sees it."""

    def __init__(self, serve: Application) -> None:
        self.state = SimpleNamespace(connections=set(), tasks=set(), default_headers=[(b"date", b"now")])
        config = SimpleNamespace(loaded_app=SimpleNamespace(serve=serve))
        self.transport = Transport()
        self.connection = Connection(cast("Any", config), cast("Any", self.state), {})
        self.connection.connection_made(cast("Any", self.transport))

    async def send(self, data: bytes) -> None:
        self.connection.data_received(data)
        await self.settled()

    async def settled(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    def leave(self) -> None:
        self.transport.closed = True
        self.connection.connection_lost(None)

    @property
    def said(self) -> bytes:
        return bytes(self.transport.written)


async def ok(request: Request) -> None:
    """Answer with the path, once the body is there."""
    body, more = await request.read()
    while more:
        piece, more = await request.read()
        body += piece
    said = request.head.path.encode() + b":" + body
    request.answer(200, [(b"content-length", b"%d" % len(said))], said)


async def test_a_request_is_what_its_bytes_say() -> None:
    heads = []

    async def serve(request: Request) -> None:
        heads.append(request.head)
        await ok(request)

    client = Client(serve)
    await client.send(b"POST /a%20b?x=1 HTTP/1.1\r\nHOST: h\r\nX-A: 1\r\ncontent-length: 2\r\n\r\nhi")

    (head,) = heads
    assert (head.method, head.path, head.raw_path, head.query) == ("POST", "/a b", b"/a%20b", b"x=1")
    assert head.headers == [(b"host", b"h"), (b"x-a", b"1"), (b"content-length", b"2")]
    assert head.peer == "203.0.113.7"
    assert client.said == b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 7\r\n\r\n/a b:hi"


async def test_requests_sent_ahead_are_answered_in_their_order() -> None:
    client = Client(ok)
    await client.send(b"".join(b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % number for number in range(20)))

    bodies = [client.said.index(b"\r\n\r\n/%d:" % number) for number in range(20)]
    assert bodies == sorted(bodies)
    assert client.said.count(b"HTTP/1.1 200") == 20
    assert not client.transport.paused


async def test_many_requests_sent_ahead_stop_the_reading_until_some_are_answered() -> None:
    go = asyncio.Event()

    async def serve(request: Request) -> None:
        await go.wait()
        await ok(request)

    client = Client(serve)
    await client.send(GET * (MOST_WAITING + 1))
    assert client.transport.paused
    go.set()
    await client.settled()
    await client.settled()
    assert not client.transport.paused
    assert client.said.count(b"HTTP/1.1 200") == MOST_WAITING + 1


async def test_one_task_serves_a_connection_and_ends_with_it() -> None:
    client = Client(ok)
    for _ in range(3):
        await client.send(GET)
        assert len(client.state.tasks) == 1
    client.leave()
    await client.settled()
    assert (client.state.tasks, client.state.connections) == (set(), set())


async def test_who_works_for_a_client_hears_at_once_that_it_has_left() -> None:
    left = asyncio.Event()

    async def serve(request: Request) -> None:
        request.when_gone(left.set)
        await left.wait()
        with pytest.raises(ClientGoneError):
            await request.read()

    client = Client(serve)
    await client.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab")
    client.leave()
    assert left.is_set()
    await client.settled()
    assert client.state.tasks == set()


async def test_a_client_that_has_left_before_anybody_asks_is_told_of_too() -> None:
    told, go = [], asyncio.Event()

    async def serve(request: Request) -> None:
        await go.wait()
        request.when_gone(lambda: told.append(True))
        request.answer(200, [(b"content-length", b"0")], b"")

    client = Client(serve)
    await client.send(GET)
    client.leave()
    go.set()
    await client.settled()
    assert told == [True]
    assert client.said == b""


async def test_nothing_begins_for_a_client_that_has_left() -> None:
    served = []

    async def serve(request: Request) -> None:
        served.append(request)

    client = Client(serve)
    client.connection.data_received(GET)
    client.leave()
    await client.settled()
    assert (served, client.state.tasks) == ([], set())


async def test_an_answer_without_a_length_goes_in_chunks() -> None:
    async def serve(request: Request) -> None:
        request.begin(200, [])
        request.send(b"one")
        request.end()

    client = Client(serve)
    await client.send(GET)
    assert client.said.partition(b"\r\n\r\n")[2] == b"3\r\none\r\n0\r\n\r\n"
    assert b"transfer-encoding: chunked" in client.said
    assert not client.transport.closed


async def test_a_client_of_http_1_0_gets_no_chunks_and_the_end_of_the_connection() -> None:
    async def serve(request: Request) -> None:
        request.begin(200, [])
        request.send(b"one")
        request.end()

    client = Client(serve)
    await client.send(b"GET / HTTP/1.0\r\nhost: x\r\n\r\n")
    assert client.said.partition(b"\r\n\r\n")[2] == b"one"
    assert client.transport.closed


async def test_head_gets_no_body() -> None:
    client = Client(ok)
    await client.send(b"HEAD /a HTTP/1.1\r\nhost: x\r\n\r\n")
    assert client.said == b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 3\r\n\r\n"


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nb", b"a\rb", b"a\0b"])
async def test_a_header_that_would_leave_its_line_is_never_written(value: bytes) -> None:
    refused = []

    async def serve(request: Request) -> None:
        with pytest.raises(ValueError, match="CR, LF or NUL"):
            request.answer(200, [(b"x", value)], b"")
        refused.append(True)

    client = Client(serve)
    await client.send(GET)
    assert (client.said, refused, client.transport.closed) == (b"", [True], True)


async def test_an_answer_that_breaks_off_ends_the_connection() -> None:
    async def serve(request: Request) -> None:
        request.begin(200, [(b"content-length", b"10")])
        request.send(b"only")

    client = Client(serve)
    await client.send(GET)
    assert client.transport.closed


async def test_a_fault_of_the_application_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def serve(_request: Request) -> None:
        raise RuntimeError("nobody foresaw it")

    client = Client(serve)
    await client.send(GET)
    assert (client.said, client.transport.closed) == (b"", True)
    assert "nobody foresaw it" in caplog.text


@pytest.mark.parametrize("data", [b"\x16\x03\x01 hello\r\n\r\n", b"GET  HTTP/9\r\n\r\n", b"GET /" + b"x" * 70_000])
async def test_what_is_not_http_is_answered_in_plain_words(data: bytes) -> None:
    client = Client(ok)
    await client.send(data)
    assert client.said.startswith(b"HTTP/1.1 400 ")
    assert client.transport.closed


async def test_a_body_is_asked_for_where_the_client_waits_to_be_asked() -> None:
    client = Client(ok)
    await client.send(b"POST /a HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
    assert client.said == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(b"hi")
    assert client.said.endswith(b"/a:hi")


async def test_a_body_that_nobody_takes_stops_the_reading() -> None:
    take = asyncio.Event()

    async def serve(request: Request) -> None:
        await take.wait()
        await ok(request)

    client = Client(serve)
    await client.send(b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 70001\r\n\r\n" + b"x" * 70_000)
    assert client.transport.paused
    take.set()
    await client.settled()
    assert not client.transport.paused
    await client.send(b"x")
    assert client.said.endswith(b"x" * 70_001)


async def test_a_client_that_reads_slowly_is_waited_for() -> None:
    sent = []

    async def serve(request: Request) -> None:
        request.begin(200, [(b"content-length", b"2")])
        for piece in (b"a", b"b"):
            if request.is_behind:
                await request.drain()
            request.send(piece)
            sent.append(piece)
        request.end()

    client = Client(serve)
    client.connection.pause_writing()
    await client.send(GET)
    assert sent == []
    client.connection.resume_writing()
    await client.settled()
    assert sent == [b"a", b"b"]


async def test_a_stop_lets_what_was_asked_be_answered_and_closes_what_rests() -> None:
    go = asyncio.Event()

    async def serve(request: Request) -> None:
        await go.wait()
        await ok(request)

    busy, idle = Client(serve), Client(serve)
    await busy.send(GET * 2)
    busy.connection.shutdown()
    idle.connection.shutdown()
    assert (busy.transport.closed, idle.transport.closed) == (False, True)
    go.set()
    await busy.settled()
    assert busy.said.count(b"HTTP/1.1 200") == 2
    assert busy.transport.closed
