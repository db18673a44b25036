"""``kill -9`` of a gateway in mid-call: no token is lost, none is sold twice, and what was generated is paid for."""

import asyncio
import os
import random
import signal
import time
from contextlib import suppress

import pytest

from apps.quotas import api as quotas
from leaky_tokens.local.facts import READY
from leaky_tokens.local.system import System
from tests.faults.conftest import RENEW_SECONDS, StartGateway
from tests.functional.payers import Oracle, Payer, eventually, open_payer
from tests.functional.raw_client import RawCall, send

STREAMS_EACH, PLAIN_EACH = 3, 2
TOKENS, CHUNK_DELAY_MS = 400, 40
EVENTS_BEFORE_THE_KILL = 40
LOAD, AT_ONCE = 100, 20


async def killed_under_way(system: System, payers: list[Payer]) -> tuple[dict[Payer, list[RawCall]], float]:
    """Streams and plain calls of all payers, and the monotonic time at which their gateway was killed."""
    url = str(system.facts["gateway_url"])
    orders = {"chunk-delay-ms": CHUNK_DELAY_MS}
    streams = {p: [await send(url, p, tokens=TOKENS, orders=orders) for _ in range(STREAMS_EACH)] for p in payers}
    plain = [
        await send(url, payer, tokens=TOKENS, stream=False, orders={"delay-ms": 60_000})
        for payer in payers
        for _ in range(PLAIN_EACH)
    ]
    calls = [call for of_one in streams.values() for call in of_one]
    for _ in range(EVENTS_BEFORE_THE_KILL):
        await asyncio.gather(*(call.event() for call in calls))
    system.kill("gateway", signal.SIGKILL)
    killed = time.monotonic()
    await asyncio.gather(*(call.read_on() for call in calls))
    for call in (*calls, *plain):
        await call.leave()
    return streams, killed


def test_a_killed_gateway_leaves_a_ledger_that_adds_up(system: System, oracle: Oracle, payers: list[Payer]) -> None:
    before = system.facts["processes"]["gateway"]

    streams, killed = asyncio.run(killed_under_way(system, payers))

    for payer in payers:
        account = payer.settled()
        assert account.held == 0
        assert account.available + account.spent == account.granted
        least, most = bounds(streams[payer], oracle, killed - 2 * RENEW_SECONDS)
        assert least <= account.spent <= most
    assert quotas.check_identities() == []
    assert eventually(lambda: system.facts.get("status") == READY)
    assert system.facts["processes"]["gateway"] != before
    assert asyncio.run(one_call(str(system.facts["gateway_url"]), payers[0])) == 200


def bounds(streams: list[RawCall], oracle: Oracle, renewed: float) -> tuple[int, int]:
    """The least and the most that streams may cost whose progress was last noted at ``renewed`` or later."""
    served = [oracle.ending(stream.request_id) for stream in streams]
    assert all(not stream.whole and call["client_left"] for stream, call in zip(streams, served, strict=True))
    prompts = sum(call["prompt_tokens"] for call in served)
    tokens_read = sum(sum(at < renewed for at in stream.arrivals[1:]) for stream in streams)
    return prompts + tokens_read, prompts + sum(call["tokens_generated"] for call in served)


async def one_call(url: str, payer: Payer) -> int:
    call = await send(url, payer, tokens=5, stream=False)
    status = await call.head()
    await call.leave()
    return status


async def load(url: str, payer: Payer, choice: random.Random) -> list[str]:
    """Short calls, streamed and plain, of which a kill cuts some; their request ids."""
    places = asyncio.Semaphore(AT_ONCE)
    sent: list[str] = []

    async def one(*, stream: bool, delay_ms: int) -> None:
        orders = {"chunk-delay-ms" if stream else "delay-ms": delay_ms}
        async with places:
            with suppress(ConnectionError):
                call = await send(url, payer, tokens=10, stream=stream, orders=orders)
                sent.append(call.request_id)
                await answered(call)

    plans = [(choice.random() < 0.5, choice.randint(0, 40)) for _ in range(LOAD)]
    await asyncio.gather(*(one(stream=stream, delay_ms=delay_ms) for stream, delay_ms in plans))
    return sent


@pytest.mark.parametrize(
    "kills", [2, pytest.param(20, marks=[pytest.mark.long, pytest.mark.timeout(600)])], ids="{}-kills".format
)
def test_kills_at_random_moments_lose_nothing(
    start_gateway: StartGateway, ledger: None, oracle: Oracle, kills: int
) -> None:
    choice = random.Random(kills)
    payer = open_payer(tokens=1_000_000)
    gateway = start_gateway(hold_seconds=2, renew_seconds=0.2)
    sent: list[str] = []

    async def killed_under_load() -> list[str]:
        moment = choice.uniform(0.05, 1.0)
        asyncio.get_running_loop().call_later(moment, os.kill, gateway.process.pid, signal.SIGKILL)
        return await load(gateway.url, payer, choice)

    for _ in range(kills):
        sent += asyncio.run(killed_under_load())
        gateway.kill()
        gateway.start()

    account = payer.settled()
    assert account.held == 0
    assert account.available + account.spent == account.granted
    assert account.absorbed == 0
    assert 0 < account.spent <= generated(oracle, sent)
    assert quotas.check_identities() == []
    assert asyncio.run(one_call(gateway.url, payer)) == 200


async def answered(call: RawCall) -> None:
    """Read an answer as far as it comes."""
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        await call.head()
        await (call.body() if "content-length" in call.headers else call.read_on())
    await call.leave()


def generated(oracle: Oracle, request_ids: list[str]) -> int:
    """Prompt and output tokens of all calls that reached the provider."""
    calls = [oracle.ending(request_id) for request_id in request_ids if oracle.lines(request_id)]
    return sum(call["prompt_tokens"] + call["tokens_generated"] for call in calls)
