"""How many connections there are, which are used again, and that none is lost."""

import asyncio
import gc
from random import Random

import pytest

from gateway.upstream.client import Limits, UpstreamBroken, UpstreamClient, UpstreamError, UpstreamUnreachable
from gateway.upstream.pool import Pooling
from tests.functional.upstream.asking import ask, left_within, read
from tests.functional.upstream.conftest import MakeClient, Serve
from tests.functional.upstream.server import CHUNKED, Peer, Script, answering, answering_once, chunk, ok


async def _hang_after_first_chunk(peer: Peer) -> None:
    await peer.request()
    await peer.send(CHUNKED, chunk(b"first"))


async def _hang(peer: Peer) -> None:
    await peer.request()


async def test_one_connection_serves_one_call_after_the_other(client: UpstreamClient, serve: Serve) -> None:
    server = await serve(answering(CHUNKED, chunk(b"a"), chunk(b"b"), chunk(b"")))
    assert [await read(client, server) for _ in range(20)] == [b"ab"] * 20
    assert server.accepted == 1


async def test_a_connection_serves_again_as_soon_as_the_last_byte_is_taken(http1: UpstreamClient, serve: Serve) -> None:
    server = await serve(answering(ok(b"hello")))
    for _ in range(3):
        assert await (await ask(http1, server)).chunk() == b"hello"
    assert server.accepted == 1


@pytest.mark.parametrize(
    "stream",
    [ok(b"a", b"connection: close"), b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na", ok(b"a") + b"surplus"],
    ids=["close", "1.0", "surplus"],
)
async def test_a_connection_that_cannot_be_used_again_is_closed(
    http1: UpstreamClient, serve: Serve, stream: bytes
) -> None:
    server = await serve(answering(stream))
    for calls in (1, 2, 3):
        assert await read(http1, server) == b"a"
        assert server.accepted == calls
        await left_within(server, 1)


async def test_1000_calls_at_once(client: UpstreamClient, serve: Serve) -> None:
    everybody = asyncio.Barrier(1000)

    async def script(peer: Peer) -> None:
        await peer.request()
        await everybody.wait()
        await peer.send(ok(b"%d" % id(peer)))

    server = await serve(script)
    bodies = await asyncio.gather(*(read(client, server, Limits(connect=30)) for _ in range(1000)))
    assert set(bodies) == {b"%d" % id(peer) for peer in server.peers}
    assert server.accepted == 1000


async def test_1000_calls_over_at_most_10_connections(make_client: MakeClient, serve: Serve) -> None:
    server = await serve(answering(ok(b"a")))
    client = make_client(pooling=Pooling(max_connections=10))
    bodies = await asyncio.gather(*(read(client, server, Limits(connect=30)) for _ in range(1000)))
    assert bodies == [b"a"] * 1000
    assert server.accepted == 10


async def test_above_the_cap_one_waits_within_the_connect_timeout(make_client: MakeClient, serve: Serve) -> None:
    may_end = asyncio.Event()

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(CHUNKED, chunk(b"a"))
            await may_end.wait()
            await peer.send(chunk(b""))

    server = await serve(script)
    client = make_client(pooling=Pooling(max_connections=1))
    response = await ask(client, server)

    with pytest.raises(UpstreamUnreachable):
        await ask(client, server, Limits(connect=0.05))
    waiting = asyncio.create_task(read(client, server))
    leaving = asyncio.create_task(read(client, server))
    last = asyncio.create_task(read(client, server))
    await asyncio.sleep(0)
    leaving.cancel()
    may_end.set()

    assert await response.read() == b"a"
    assert await asyncio.gather(waiting, last) == [b"a"] * 2
    assert server.accepted == 1


async def test_an_aborted_call_makes_room_for_a_waiting_one(make_client: MakeClient, serve: Serve) -> None:
    server = await serve(_hang_after_first_chunk)
    client = make_client(pooling=Pooling(max_connections=1))
    response = await ask(client, server)
    waiting = asyncio.create_task(ask(client, server))
    await asyncio.sleep(0)
    response.abort()
    assert await (await waiting).chunk() == b"first"
    assert server.accepted == 2


@pytest.mark.parametrize("turn", [0, 1, 2, 3, 4])
async def test_whoever_leaves_the_queue_at_any_moment_takes_no_place_along(
    make_http1: MakeClient, serve: Serve, turn: int
) -> None:
    server = await serve(answering(ok(b"a")))
    client = make_http1(pooling=Pooling(max_connections=1))
    for _ in range(20):
        response = await ask(client, server)
        leaving = asyncio.create_task(read(client, server))
        await asyncio.sleep(0)
        await response.read()
        for _ in range(turn):
            await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert await read(client, server) == b"a"


async def test_a_server_that_closes_after_each_answer_costs_no_call(http1: UpstreamClient, serve: Serve) -> None:
    """The FIN comes right behind an answer that promised to keep the connection: the race of every keep-alive pool."""
    server = await serve(answering_once(ok(b"a")))
    assert [await read(http1, server) for _ in range(200)] == [b"a"] * 200
    assert server.accepted == 200


async def test_a_request_that_may_have_been_received_is_not_sent_again(http1: UpstreamClient, serve: Serve) -> None:
    requests = []

    async def script(peer: Peer) -> None:
        requests.append(await peer.request())
        await peer.send(ok(b"a"))
        requests.append(await peer.request())
        peer.close()

    server = await serve(script)
    assert await read(http1, server) == b"a"
    with pytest.raises(UpstreamBroken):
        await read(http1, server)
    assert (len(requests), server.accepted) == (2, 1)


async def test_bytes_that_nobody_asked_for_are_nobodys_answer(client: UpstreamClient, serve: Serve) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(ok(b"asked"))
        await peer.send(ok(b"not asked"))

    server = await serve(script)
    for calls in (1, 2, 3):
        assert await read(client, server) == b"asked"
        await left_within(server, 1)
        assert server.accepted == calls


async def test_idle_connections_are_closed_in_time(make_client: MakeClient, serve: Serve) -> None:
    server = await serve(answering(ok(b"a")))
    client = make_client(pooling=Pooling(idle_seconds=0.2))
    await read(client, server)
    assert await left_within(server, 2) > 0.1
    assert await read(client, server) == b"a"
    assert server.accepted == 2


async def test_the_servers_patience_is_obeyed(http1: UpstreamClient, serve: Serve) -> None:
    server = await serve(answering(ok(b"a", b"keep-alive: timeout=1")))
    await read(http1, server)
    assert await left_within(server, 0.9) > 0.4


async def test_only_so_many_idle_connections_are_kept(make_http1: MakeClient, serve: Serve) -> None:
    server = await serve(answering(ok(b"a")))
    client = make_http1(pooling=Pooling(max_idle=2))
    await asyncio.gather(*(read(client, server) for _ in range(5)))
    assert server.accepted == 5
    async with asyncio.timeout(1):
        for _ in range(3):
            await server.departed.get()
    await asyncio.gather(*(read(client, server) for _ in range(2)))
    assert server.accepted == 5


@pytest.mark.parametrize("script", [_hang, _hang_after_first_chunk])
async def test_the_server_sees_a_cancelled_caller_leave(client: UpstreamClient, serve: Serve, script: Script) -> None:
    server = await serve(script)
    task = asyncio.create_task(read(client, server))
    async with asyncio.timeout(1):
        await server.asked.get()
    task.cancel()
    assert await left_within(server, 1) < 0.1
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_server_sees_an_abort(client: UpstreamClient, serve: Serve) -> None:
    server = await serve(_hang_after_first_chunk)
    response = await ask(client, server)
    assert await response.chunk() == b"first"
    response.abort()
    assert await left_within(server, 1) < 0.1
    with pytest.raises(UpstreamBroken):
        await response.chunk()


async def test_whoever_waits_for_a_chunk_is_told_of_an_abort(client: UpstreamClient, serve: Serve) -> None:
    server = await serve(_hang_after_first_chunk)
    response = await ask(client, server)
    assert await response.chunk() == b"first"
    waiting = asyncio.create_task(response.chunk())
    await asyncio.sleep(0)
    response.abort()
    with pytest.raises(UpstreamBroken):
        await waiting


async def test_abort_after_the_end_is_harmless(client: UpstreamClient, serve: Serve) -> None:
    server = await serve(answering(ok(b"a")))
    for _ in range(3):
        response = await ask(client, server)
        assert await response.read() == b"a"
        response.abort()
        assert await response.chunk() == b""
    assert server.accepted == 1


async def test_a_forgotten_answer_gives_its_connection_back(make_http1: MakeClient, serve: Serve) -> None:
    server = await serve(_hang_after_first_chunk)
    client = make_http1(pooling=Pooling(max_connections=1))
    for calls in (1, 2, 3):
        response = await ask(client, server)
        del response
        gc.collect()
        assert await left_within(server, 1) < 0.1
        assert server.accepted == calls


async def test_close_ends_what_is_in_flight(make_http1: MakeClient, serve: Serve) -> None:
    server = await serve(_hang_after_first_chunk)
    client = make_http1(pooling=Pooling(max_connections=1))
    response = await ask(client, server)
    queued = asyncio.create_task(ask(client, server))
    await asyncio.sleep(0)
    await client.close()
    assert await left_within(server, 1) < 0.1
    with pytest.raises(UpstreamUnreachable):
        await queued
    assert await response.chunk() == b"first"
    with pytest.raises(UpstreamBroken):
        await response.chunk()
    with pytest.raises(UpstreamUnreachable):
        await ask(client, server)


async def test_a_slow_reader_holds_the_server_back(client: UpstreamClient, serve: Serve) -> None:
    total, piece = 64 * 1024 * 1024, b"x" * 65536

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        for _ in range(total // len(piece)):
            await peer.send(piece)

    server = await serve(script)
    response = await ask(client, server)
    received = len(await response.chunk())
    sent = await _until_it_stands_still(server.peers[0])
    assert sent < 16 * 1024 * 1024, "kernel buffers and one read of ours, not the whole body"
    largest = 0
    while got := len(await response.chunk()):
        largest = max(largest, got)
        received += got
    assert received == total
    assert largest <= 1024 * 1024


async def _until_it_stands_still(peer: Peer) -> int:
    """Wait until the server could send nothing for a tenth of a second."""
    while True:
        before = peer.sent
        await asyncio.sleep(0.1)
        if peer.sent == before:
            return before


@pytest.mark.parametrize("seed", range(5))
async def test_no_place_is_lost_in_a_storm(make_http1: MakeClient, serve: Serve, seed: int) -> None:
    """Callers cancel and abort, the server closes, resets and hangs; afterwards all places are still there."""
    random = Random(seed)
    is_calm = asyncio.Event()
    server = await serve(_stormy(random, is_calm, together=5))
    client = make_http1(pooling=Pooling(max_connections=5, max_idle=3))

    async def call() -> None:
        response = await ask(client, server, Limits(connect=5, first_byte=0.05))
        if random.random() < 0.3:
            response.abort()
        else:
            await response.read()

    calls = []
    for _ in range(300):
        calls.append(asyncio.create_task(call()))
        for _ in range(random.randrange(10)):
            await asyncio.sleep(0)
        if random.random() < 0.3:
            random.choice(calls).cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(outcome is None or isinstance(outcome, UpstreamError | asyncio.CancelledError) for outcome in outcomes)
    assert outcomes.count(None) > 50

    is_calm.set()
    async with asyncio.timeout(5):
        assert await asyncio.gather(*(read(client, server) for _ in range(5))) == [b"a"] * 5


def _stormy(random: Random, is_calm: asyncio.Event, together: int) -> Script:
    """Answer, close, reset or hang by chance; once it is calm, answer when so many calls are there at once."""
    everybody = asyncio.Barrier(together)

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            if is_calm.is_set():
                await everybody.wait()
            elif random.random() < 0.2:
                return
            await peer.send(ok(b"a"))
            if not is_calm.is_set() and random.random() < 0.4:
                random.choice([peer.close, peer.reset])()

    return script
