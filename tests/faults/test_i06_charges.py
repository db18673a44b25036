"""RELIABILITY.md I6: no lost and no excess charge, however a call ends; the provider's log decides."""

import asyncio
import random
import time
from collections.abc import Callable
from functools import partial

import pytest

from apps.quotas import api as quotas
from tests.faults.site.backends import on_both, on_leases
from tests.faults.site.checks import QUIET_SECONDS, UNREAD, unfinished
from tests.faults.site.process import Process
from tests.faults.site.site import Site
from tests.faults.site.witness import Log, Served
from tests.functional.payers import Payer, eventually, of_tier, open_payer
from tests.functional.raw_client import RawCall, abandon_after, read_to_their_ends, send, streams_in_their_midst
from tests.functional.usage_events import events_of

TOKENS, CHUNK_DELAY_MS = 20, 60
EVENTS = TOKENS + 3
ESTIMATED_SHARE = 0.05
HEARTBEAT_SECONDS = 1


def settled(site: Site, calls: list[RawCall]) -> list[tuple[int, Served]]:
    """What each call was charged, and what the provider says of it."""
    log = Log(site.stub.requests)
    assert eventually(lambda: log.under_way() == 0)
    assert eventually(lambda: unfinished(site) == [], seconds=QUIET_SECONDS), unfinished(site)
    return [(charged(call), log.served[call.request_id][0]) for call in calls]


def charged(call: RawCall) -> int:
    return sum(event["charged"] for event in events_of(call.request_id))


@on_both
def test_clients_that_leave_at_each_event_pay_for_what_was_generated(site: Site) -> None:
    payer, choice = open_payer(tokens=1_000_000), random.Random(6)
    urls = site.urls()

    async def one(events: int) -> RawCall:
        call = await send(
            urls[events % len(urls)], payer, tokens=TOKENS, cap=2 * TOKENS, orders={"chunk-delay-ms": CHUNK_DELAY_MS}
        )
        await abandon_after(call, events, choice)
        return call

    async def at_each_event() -> list[RawCall]:
        return await asyncio.gather(*(one(events) for events in range(EVENTS + 1)))

    calls = asyncio.run(at_each_event())

    for cost, served in settled(site, calls):
        assert abs(cost - served.generated) <= 1
    assert payer.balance().spent == sum(charged(call) for call in calls)


@on_both
@pytest.mark.parametrize("fault", ["no-usage", "abort=9", "usage-twice", "wrong-usage=100000"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
def test_a_provider_that_tells_nothing_or_nonsense_is_counted(site: Site, fault: str, stream: bool) -> None:
    payer = open_payer(tokens=1_000_000)

    async def asked() -> RawCall:
        orders: dict[str, str | int] = {"fault": fault, "chunk-delay-ms": 20}
        call = await send(site.gateways[0].url, payer, tokens=200, stream=stream, orders=orders)
        await call.head()
        if stream:
            await call.read_on()
        await call.leave()
        return call

    ((cost, served),) = settled(site, [asyncio.run(asked())])

    if fault == "abort=9" and not stream:
        assert cost <= served.generated
    else:
        assert abs(cost - served.generated) <= max(1, ESTIMATED_SHARE * served.generated)


@on_both
@pytest.mark.parametrize(("tokens", "outcome"), [(20_000, "completed"), (1_000, "out_of_tokens")])
def test_streams_whose_holds_grow_pay_for_what_was_generated(site: Site, tokens: int, outcome: str) -> None:
    payer = of_tier(tokens, hold_step=64)

    async def all_read() -> list[RawCall]:
        orders = {"chunk-delay-ms": 20}
        calls = [await send(url, payer, tokens=200, cap=4_000, orders=orders) for url in site.urls() * 4]
        for call in calls:
            assert await call.head() == 200
        await read_to_their_ends(calls)
        return calls

    calls = asyncio.run(all_read())

    assert all(call.events[-1] == b"[DONE]" for call in calls)
    for (cost, served), call in zip(settled(site, calls), calls, strict=True):
        borne = events_of(call.request_id)[0]["absorbed"]
        assert served.generated - UNREAD <= cost + borne <= served.generated
    assert {events_of(call.request_id)[0]["outcome"] for call in calls} == {outcome}
    assert payer.balance().spent == sum(charged(call) for call in calls) <= tokens
    assert quotas.check_identities() == []


@on_leases
@pytest.mark.parametrize("payer_of", [open_payer, partial(of_tier, hold_step=64)], ids=["whole", "growing"])
def test_a_killed_gateways_streams_pay_at_least_what_the_last_heartbeat_said(
    site: Site, payer_of: Callable[..., Payer]
) -> None:
    payer = payer_of(tokens=1_000_000)
    with asyncio.Runner() as runner:
        calls = runner.run(
            streams_in_their_midst(
                site.gateways[0].url, payer, streams=5, tokens=400, chunk_delay_ms=CHUNK_DELAY_MS, events=50
            )
        )
        site.gateways[0].kill()
        killed = time.monotonic()
        runner.run(read_to_their_ends(calls))

    site.gateways[0].start()
    for call, (cost, served) in zip(calls, settled(site, calls), strict=True):
        reported = sum(at < killed - 2 * HEARTBEAT_SECONDS for at in call.arrivals[1:])
        assert reported <= cost <= served.generated


def valkey(site: Site) -> Process:
    return site.quota.process


def postgresql(site: Site) -> Process:
    return site.ledger.process


@on_leases
@pytest.mark.parametrize("store", [valkey, postgresql])
@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "stopped"])
def test_a_store_that_is_away_when_calls_end_is_told_when_it_is_back(
    site: Site, store: Callable[[Site], Process], frozen: bool
) -> None:
    payer = open_payer(tokens=1_000_000)
    with asyncio.Runner() as runner:
        calls = runner.run(streams_of(site, payer))
        store(site).freeze() if frozen else store(site).stop()
        runner.run(read_to_their_ends(calls))
        site.heal()

    assert all(call.whole and call.events[-1] == b"[DONE]" for call in calls)
    assert [cost for cost, _ in settled(site, calls)] == [served.generated for _, served in settled(site, calls)]
    assert payer.balance().spent == sum(charged(call) for call in calls)


async def streams_of(site: Site, payer: Payer) -> list[RawCall]:
    return await streams_in_their_midst(
        site.gateways[0].url, payer, streams=5, tokens=TOKENS, chunk_delay_ms=CHUNK_DELAY_MS
    )
