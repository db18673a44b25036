"""The gateway's client on real servers: every reply to its caller, and every kind of outage told at once."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import uvloop

from apps.core.errors import ConfigurationError, StoreUnavailable
from gateway.valkey import Valkey, ValkeyReplyError
from leaky_tokens.local.ports import free_port
from leaky_tokens.local.valkey import CACHE
from leaky_tokens.local.valkey import Valkey as Server

RECOVERY_SECONDS = 5

LIBRARY = """#!lua name=leaky_test
redis.register_function("add_test", function(keys, args)
  return { args[1], redis.call("INCRBY", keys[1], args[2]) }
end)
"""
LIST_FUNCTIONS = ("FUNCTION", "LIST", "LIBRARYNAME", "leaky_test")


@dataclass(frozen=True, slots=True)
class Add:
    """A run of the test's own function: the ``run_id`` that it was told, and the sum."""

    amount: int
    keys: tuple[str, ...]
    function: str = "add_test"

    @property
    def args(self) -> tuple[int, ...]:
        return (self.amount,)

    @property
    def decode(self) -> Callable[[object], tuple[str, int]]:
        return lambda reply: (reply[0].decode(), reply[1])


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def loop_factory(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    return request.param


@pytest.fixture
async def valkey() -> AsyncIterator[Valkey]:
    client = await Valkey.connect(os.environ["QUOTA_REDIS_URL"], timeout_s=5)
    yield client
    await client.close()


class Process:
    """A server of the test's own, to stop, freeze and start again."""

    def __init__(self, data: Path) -> None:
        self._server = Server(data, free_port(), "secret", CACHE)
        self.url = self._server.url()
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._server.command(), stdout=subprocess.DEVNULL)
        while not self._server.is_ready():
            assert self._process.poll() is None, "the server ended"

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path)
    yield process
    process.stop()


async def answer_after_outage(client: Valkey) -> object:
    """The first answer after an outage, asked for again and again, as callers of the gateway would."""
    async with asyncio.timeout(RECOVERY_SECONDS):
        while True:
            try:
                return await client.call("ECHO", "back")
            except StoreUnavailable:
                await asyncio.sleep(0.001)


def test_ten_thousand_calls_at_once_get_their_own_replies(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def main() -> None:
        client = await Valkey.connect(os.environ["QUOTA_REDIS_URL"], timeout_s=5, connections=2)
        words = [f"{number}-é\r\n".encode() * (number % 7) for number in range(10_000)]
        assert await asyncio.gather(*(client.call("ECHO", word) for word in words)) == words
        await client.close()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())


async def test_replies_of_every_kind(valkey: Valkey) -> None:
    key = f"kinds:{uuid4()}"
    assert await valkey.call("RPUSH", key, "a", b"\x00\xff", 7) == 3
    assert await valkey.call("LRANGE", key, 0, -1) == [b"a", b"\x00\xff", b"7"]
    assert await valkey.call("GET", f"none:{uuid4()}") is None
    assert await valkey.call("SET", key, "x" * 1_000_000) == b"OK"
    assert await valkey.call("GET", key) == b"x" * 1_000_000
    assert await valkey.call("DEL", key) == 1


async def test_an_error_reply_reaches_its_caller_only(valkey: Valkey) -> None:
    replies = await asyncio.gather(
        valkey.call("PING"), valkey.call("NONSENSE"), valkey.call("PING"), return_exceptions=True
    )
    assert (replies[0], replies[2]) == (b"PONG", b"PONG")
    assert isinstance(replies[1], ValkeyReplyError)
    assert replies[1].word == "ERR"


async def test_the_run_id_is_the_servers(valkey: Valkey) -> None:
    assert f"run_id:{valkey.run_id}".encode() in await valkey.call("INFO", "server")


async def test_a_wrong_password_is_told_as_such() -> None:
    parts = urlsplit(os.environ["QUOTA_REDIS_URL"])
    with pytest.raises(ValkeyReplyError, match="WRONGPASS"):
        await Valkey.connect(f"redis://:wrong@{parts.hostname}:{parts.port}/0")


@pytest.mark.parametrize("url", ["http://localhost:1/0", "redis:///0", "redis://localhost/x", "redis://h:1/0?ssl=1"])
async def test_a_url_that_is_not_one_of_ours_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        await Valkey.connect(url)


async def test_no_server_is_told_at_once() -> None:
    with pytest.raises(StoreUnavailable):
        await Valkey.connect(f"redis://127.0.0.1:{free_port()}/0")


async def test_the_database_of_the_url_is_chosen(server: Process) -> None:
    client = await Valkey.connect(server.url.removesuffix("0") + "3")
    assert b" db=3 " in await client.call("CLIENT", "INFO")
    await client.close()


async def test_a_library_that_the_server_lost_is_sent_again(server: Process) -> None:
    client = await Valkey.connect(server.url, timeout_s=5, library=LIBRARY)
    call = Add(10, (f"sum:{uuid4()}",))
    assert await client.call_function(call) == (client.run_id, 10)
    assert await client.call("FUNCTION", "FLUSH") == b"OK"
    replies = await asyncio.gather(*(client.call_function(call) for _ in range(12)))
    assert sorted(replies) == [(client.run_id, 10 * number) for number in range(2, 14)]
    assert len(await client.call(*LIST_FUNCTIONS)) == 1
    await client.close()


async def test_a_library_that_is_there_is_left_as_it_is(server: Process) -> None:
    for _ in range(2):
        client = await Valkey.connect(server.url, timeout_s=5, library=LIBRARY)
        assert (await client.call_function(Add(1, ("sum",))))[0] == client.run_id
        await client.close()


async def test_a_function_that_nobody_has_is_refused(server: Process) -> None:
    client = await Valkey.connect(server.url, timeout_s=5, library=LIBRARY)
    with pytest.raises(ValkeyReplyError, match="Function not found"):
        await client.call_function(Add(1, ("sum",), function="nothing"))
    await client.close()


async def test_a_function_is_told_the_run_id_of_the_process_that_it_runs_in(server: Process) -> None:
    client = await Valkey.connect(server.url, timeout_s=5, library=LIBRARY)
    before, _ = await client.call_function(Add(1, ("sum",)))
    server.stop()
    await fails_at_once(client)
    server.start()
    assert await answer_after_outage(client) == b"back"
    after, _ = await client.call_function(Add(1, ("sum",)))
    assert before != after == client.run_id
    await client.close()


async def test_cancelled_callers_disturb_nobody(valkey: Valkey) -> None:
    tasks = [asyncio.ensure_future(valkey.call("ECHO", number)) for number in range(1000)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    replies = await asyncio.gather(*tasks, return_exceptions=True)
    assert replies[1::2] == [str(number).encode() for number in range(1, 1000, 2)]
    assert all(isinstance(reply, asyncio.CancelledError) for reply in replies[::2])
    assert await valkey.call("ECHO", "after") == b"after"


async def test_calls_in_flight_are_bounded() -> None:
    client = await Valkey.connect(os.environ["QUOTA_REDIS_URL"], timeout_s=5, max_pending=10)
    replies = await asyncio.gather(*(client.call("ECHO", number) for number in range(12)), return_exceptions=True)
    assert replies[:10] == [str(number).encode() for number in range(10)]
    assert all(isinstance(reply, StoreUnavailable) for reply in replies[10:])
    assert await client.call("PING") == b"PONG"
    await client.close()


async def test_a_store_that_is_full_is_unavailable_and_the_command_not_to_blame(server: Process) -> None:
    client = await Valkey.connect(server.url, timeout_s=5)
    await client.call("CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1")
    with pytest.raises(StoreUnavailable, match="OOM"):
        await client.call("SET", "key", "value")
    await client.close()


def test_a_frozen_server_is_told_in_time_and_found_again(
    server: Process, loop_factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def main() -> None:
        client = await Valkey.connect(server.url, timeout_s=0.1)
        assert min([await freeze(client, server) for _ in range(3)]) <= 0.15
        await client.close()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())


async def freeze(client: Valkey, server: Process) -> float:
    """Stop the server in mid-flight, let it go on, see it found again; returns how long the calls in flight took."""
    server.send(signal.SIGSTOP)
    started = time.monotonic()
    replies = await asyncio.gather(*(client.call("INCR", "n") for _ in range(100)), return_exceptions=True)
    seconds = time.monotonic() - started
    assert all(isinstance(reply, StoreUnavailable) for reply in replies)
    await fails_at_once(client)
    server.send(signal.SIGCONT)
    assert await answer_after_outage(client) == b"back"
    assert client.connected
    return seconds


async def fails_at_once(client: Valkey) -> None:
    started = time.monotonic()
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            await client.call("PING")
    assert time.monotonic() - started <= 5 * 0.005


async def test_a_server_that_dies_fails_the_calls_in_flight_and_its_successor_is_found(server: Process) -> None:
    client = await Valkey.connect(server.url, timeout_s=5, connections=2, library=LIBRARY)
    before = client.run_id
    waiting = [asyncio.ensure_future(client.call("BLPOP", "nothing", 0)) for _ in range(10)]
    assert await client.call("CLIENT", "ID") is not None
    server.stop()
    replies = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(reply, StoreUnavailable) for reply in replies)
    await fails_at_once(client)
    server.start()
    assert await answer_after_outage(client) == b"back"
    assert client.run_id != before
    assert len(await client.call(*LIST_FUNCTIONS)) == 1
    await client.close()


def test_a_loop_that_stood_still_does_not_blame_the_server(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """The calls are late before they are even written. The server answers at once, and must be listened to."""

    async def main() -> None:
        client = await Valkey.connect(os.environ["QUOTA_REDIS_URL"], timeout_s=0.05)
        calls = [asyncio.ensure_future(client.call("ECHO", number)) for number in range(100)]
        asyncio.get_running_loop().call_soon(stand_still, 0.2)
        assert await asyncio.gather(*calls) == [str(number).encode() for number in range(100)]
        assert client.connected
        await client.close()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())


def stand_still(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


async def test_closing_fails_what_is_in_flight(server: Process) -> None:
    client = await Valkey.connect(server.url, timeout_s=5)
    waiting = asyncio.ensure_future(client.call("BLPOP", "nothing", 0))
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(StoreUnavailable):
        await waiting
    with pytest.raises(StoreUnavailable):
        await client.call("PING")
