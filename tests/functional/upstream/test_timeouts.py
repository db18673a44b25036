"""Every wait has an end, and the error says whether the request has left."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from gateway.upstream.client import Limits, Origin, UpstreamClient, UpstreamTimeout, UpstreamUnreachable
from tests.functional.upstream.asking import ask, left_within, read, received_until_error
from tests.functional.upstream.conftest import Serve
from tests.functional.upstream.server import CHUNKED, Peer, chunk, ok


@pytest.fixture
def deaf() -> Iterator[Origin]:
    """A listening socket whose backlog is full: the kernel does not answer to a further connect."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        address = listening.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        yield Origin("http", "127.0.0.1", address[1])
        for filler in fillers:
            filler.close()


async def _seconds_until(error: type[Exception], *waiting: object) -> float:
    loop = asyncio.get_running_loop()
    begin = loop.time()
    with pytest.raises(error):
        await waiting[0]  # type: ignore[misc]
    return loop.time() - begin


async def test_connecting(client: UpstreamClient, deaf: Origin) -> None:
    call = client.request(deaf, b"POST", b"/", [], b"", Limits(connect=0.2))
    assert 0.15 < await _seconds_until(UpstreamUnreachable, call) < 1


@pytest.mark.parametrize("host", ["127.0.0.1", "name.invalid", "..", "a" * 64 + ".example"])
async def test_nobody_there(client: UpstreamClient, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises((UpstreamUnreachable, ValueError)):
        await client.request(Origin("http", host, port), b"POST", b"/", [], b"", Limits())


async def test_the_first_byte(client: UpstreamClient, serve: Serve) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()

    server = await serve(script)
    assert 0.15 < await _seconds_until(UpstreamTimeout, ask(client, server, Limits(first_byte=0.2))) < 1
    await left_within(server, 0.1)


async def test_a_head_that_trickles_in(http1: UpstreamClient, serve: Serve) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n")
        for number in range(100):
            await peer.send(b"x-%d: y\r\n" % number)
            await asyncio.sleep(0.02)

    server = await serve(script)
    assert 0.15 < await _seconds_until(UpstreamTimeout, ask(http1, server, Limits(first_byte=0.2))) < 0.5


async def test_the_next_chunk(client: UpstreamClient, serve: Serve) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        for _ in range(4):
            await peer.send(chunk(b"a"))
            await asyncio.sleep(0.1)

    server = await serve(script)
    response = await ask(client, server, Limits(between_chunks=0.2))
    received, error = await received_until_error(response)
    assert isinstance(error, UpstreamTimeout)
    assert received == b"aaaa"
    await left_within(server, 0.1)


async def test_framing_without_body_is_no_chunk(http1: UpstreamClient, serve: Serve) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED, b"1;")
        while True:
            await peer.send(b"x")
            await asyncio.sleep(0.02)

    server = await serve(script)
    response = await ask(http1, server, Limits(between_chunks=0.2))
    assert 0.15 < await _seconds_until(UpstreamTimeout, response.chunk()) < 0.5


async def test_a_slow_caller_is_not_the_providers_fault(client: UpstreamClient, serve: Serve) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED, chunk(b"a"))
        await asyncio.sleep(0.3)
        await peer.send(chunk(b"b"), chunk(b""))

    response = await ask(client, await serve(script), Limits(first_byte=5, between_chunks=0.2))
    assert await response.chunk() == b"a"
    await asyncio.sleep(0.35)
    assert await response.read() == b"b"


async def test_one_timer_serves_calls_of_any_patience(http1: UpstreamClient, serve: Serve) -> None:
    async def script(peer: Peer) -> None:
        for _ in range(3):
            await peer.request()
            await asyncio.sleep(0.15)
            await peer.send(ok(b"a"))
        await peer.request()

    server = await serve(script)
    for patience in (5, 0.3, 0.3):
        assert await read(http1, server, Limits(first_byte=patience)) == b"a"
    assert 0.15 < await _seconds_until(UpstreamTimeout, ask(http1, server, Limits(first_byte=0.2))) < 0.5
    assert server.accepted == 1
