"""``python -m benchmarks.micro [PART …]``: microseconds per call of single pieces, on one core.

A piece is an entry of :data:`PIECES`. One that waits gives the function of an asynchronous call; 64 of them are kept
under way on uvloop. A figure is the median of five passes, beside the lowest and the highest.
"""

import asyncio
import hashlib
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import redis.asyncio
import uvloop
from rich.console import Console
from rich.table import Table

from apps.core.units import Weights
from benchmarks import machine, nginx, processes, workload
from benchmarks.machine import Cores
from gateway import metering, strict_json
from gateway.dialects.openai.operations import CHAT
from gateway.estimate import estimate, prompt_tokens
from gateway.tokenizer import counter
from gateway.upstream.client import Limits, Origin, UpstreamClient
from gateway.upstream.http1 import Http1Client
from gateway.valkey import Valkey as PipelinedValkey
from leaky_tokens.local.ports import free_port
from leaky_tokens.local.valkey import QUOTA, Valkey

PASSES = 5
PASS_SECONDS = 0.2
CONCURRENCY = 64

BODY = workload.request_body(stream=False)
REQUEST = orjson.loads(BODY)
ANSWER = workload.completion()
CHUNK = workload.stream_chunks()[5].removeprefix(b"data: ")
CREDENTIAL = f"leaky_{secrets.token_hex(16)}_{secrets.token_hex(24)}"
SEEN = {hashlib.sha256(CREDENTIAL.encode()).digest(): True}

Call = Callable[[], object]
AsyncCall = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Servers:
    """What asynchronous pieces may call: a Valkey as the quota instance is set up, and the plain stub."""

    valkey_url: str
    stub_port: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A plain function to time."""

    name: str
    call: Call


@dataclass(frozen=True, slots=True)
class WaitingPiece:
    """Something that waits: ``opened`` gives the call and cleans up after it."""

    name: str
    opened: Callable[[Servers], AbstractAsyncContextManager[AsyncCall]]


def recognise_credential() -> object:
    """What is left of authentication when the credential has been seen: its hash and one look."""
    return SEEN.get(hashlib.sha256(CREDENTIAL.encode()).digest())


def bound_of_call() -> object:
    """Count the prompt and bound the call."""
    prompt = prompt_tokens(CHAT.prompt(REQUEST), counter("o200k_base"))
    return estimate(prompt=prompt, output=64, choices=1, weights=Weights(1000, 1000, 1000))


@asynccontextmanager
async def upstream_call(servers: Servers) -> AsyncIterator[AsyncCall]:
    """A request to the stub by our HTTP client, with its body read."""
    client: UpstreamClient = Http1Client()
    origin, limits = Origin("http", "127.0.0.1", servers.stub_port), Limits()
    headers = ((b"content-type", b"application/json"), (b"authorization", b"Bearer sk-stub-benchmark"))

    async def call() -> bytes:
        answer = await client.request(origin, b"POST", b"/v1/chat/completions", headers, BODY, limits)
        return await answer.read()

    try:
        yield call
    finally:
        await client.close()


@asynccontextmanager
async def pipelined_valkey(servers: Servers) -> AsyncIterator[AsyncCall]:
    """A PING by the gateway's client, which sends all commands of a tick in one write."""
    client = await PipelinedValkey.connect(servers.valkey_url)
    try:
        yield lambda: client.call("PING")
    finally:
        await client.close()


@asynccontextmanager
async def library_valkey(servers: Servers) -> AsyncIterator[AsyncCall]:
    """The same by redis-py, as a yardstick."""
    client = redis.asyncio.Redis.from_url(servers.valkey_url)
    try:
        yield client.ping
    finally:
        await client.aclose()


PIECES: list[Piece | WaitingPiece] = [
    Piece("recognise a credential seen before", recognise_credential),
    Piece("parse a body strictly", lambda: strict_json.loads(BODY)),
    Piece("parse a body with orjson, as a yardstick", lambda: orjson.loads(BODY)),
    Piece("check its fields", lambda: CHAT.check(REQUEST, lambda _name: True)),
    Piece("count its prompt and bound the call", bound_of_call),
    Piece("read an answer's usage", lambda: metering.read(ANSWER)),
    Piece("read a chunk", lambda: metering.read(CHUNK)),
    WaitingPiece("request to the stub, own HTTP client", upstream_call),
    WaitingPiece("PING, own Valkey client", pipelined_valkey),
    WaitingPiece("PING, redis-py", library_valkey),
]


def main() -> None:
    """Time the pieces whose names contain one of the words given, or all, and print a table."""
    cores = machine.choose_cores(force=True)
    machine.settle_on(Cores(subject=cores.load, load=cores.subject))  # here we ourselves are what is measured
    words = sys.argv[1:] or [""]
    table = Table("piece", "µs/call", "lowest", "highest")
    with running_servers(cores) as servers:
        for piece in PIECES:
            if any(word in piece.name for word in words):
                passes = timed(piece, servers)
                table.add_row(piece.name, *(f"{value:.2f}" for value in (statistics.median(passes), *_ends(passes))))
    Console().print(table)


def timed(piece: Piece | WaitingPiece, servers: Servers) -> list[float]:
    """Microseconds per call in each of the passes."""
    if isinstance(piece, Piece):
        calls = _calls_per_pass(piece.call)
        return [_pass(piece.call, calls) for _ in range(PASSES)]
    return uvloop.run(_waiting_passes(piece, servers))


@contextmanager
def running_servers(cores: Cores) -> Iterator[Servers]:
    """A Valkey and the plain stub on the other core."""
    with tempfile.TemporaryDirectory(prefix="leaky-micro-") as name:
        directory = Path(name)
        valkey, port = Valkey(directory / "quota", free_port(), secrets.token_hex(8), QUOTA), free_port()
        stub = processes.start(
            nginx.stub_command(directory / "stub", port), core=cores.load, log=directory / "stub.log"
        )
        store = processes.start(valkey.command(), core=cores.load, log=directory / "valkey.log")
        try:
            processes.wait_until_ready(stub, port, "/livez")
            processes.wait_for(store, valkey.is_ready)
            yield Servers(valkey.url(), port)
        finally:
            store.stop()
            stub.stop()


def _calls_per_pass(call: Call) -> int:
    calls = 1
    while _pass(call, calls) * calls < PASS_SECONDS * 1e6:
        calls *= 2
    return calls


def _pass(call: Call, calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - started) / calls * 1e6


async def _waiting_passes(piece: WaitingPiece, servers: Servers) -> list[float]:
    async with piece.opened(servers) as call:
        await _waiting_pass(call)
        return [await _waiting_pass(call) for _ in range(PASSES)]


async def _waiting_pass(call: AsyncCall) -> float:
    started = time.perf_counter()
    until = started + PASS_SECONDS
    counts = await asyncio.gather(*(_repeat(call, until) for _ in range(CONCURRENCY)))
    return (time.perf_counter() - started) / sum(counts) * 1e6


async def _repeat(call: AsyncCall, until: float) -> int:
    calls = 0
    while time.perf_counter() < until:
        await call()
        calls += 1
    return calls


def _ends(passes: list[float]) -> tuple[float, float]:
    return min(passes), max(passes)


if __name__ == "__main__":
    main()
