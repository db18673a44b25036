"""RELIABILITY.md I2: each hold ends exactly once, also when its gateway is dead, or was only thought to be."""

import asyncio
import time

import pytest

from apps.quotas import api as quotas
from apps.quotas.models import Hold
from tests.faults.site.backends import on_leases
from tests.faults.site.checks import unfinished
from tests.faults.site.site import Site
from tests.faults.site.witness import Log
from tests.functional.payers import Payer, eventually, open_payer
from tests.functional.raw_client import RawCall, read_to_their_ends, streams_in_their_midst
from tests.functional.usage_events import events_of
from tests.integration.quotas.purses import Call, filled, swept
from tests.integration.quotas.threads import at_once

STREAMS, CHUNK_DELAY_MS = 5, 50
EVENTS = 40
"""Two seconds of a stream: each has said by a heartbeat how far it is."""
SWEPT_SECONDS = 7.5
"""75 s in production, where a pass takes 15 s: five passes of a second here, and what a busy machine needs."""


async def begun(url: str, payer: Payer, tokens: int) -> list[RawCall]:
    return await streams_in_their_midst(
        url, payer, streams=STREAMS, tokens=tokens, chunk_delay_ms=CHUNK_DELAY_MS, events=EVENTS
    )


def used(site: Site, call: RawCall) -> int:
    log = Log(site.stub.requests)
    assert eventually(lambda: log.under_way() == 0)
    return sum(served.generated for served in log.served[call.request_id])


@on_leases
@pytest.mark.parametrize("sweeping", [False, True], ids=["alone", "against the sweeper"])
def test_a_hold_that_is_settled_five_times_at_once_ends_once(
    site: Site, monkeypatch: pytest.MonkeyPatch, sweeping: bool
) -> None:
    monkeypatch.setenv("QUOTA_REDIS_URL", site.quota.url())
    payer = open_payer(tokens=100_000)
    call = Call(filled(payer.account, 10_000), 1_000).taken()

    def settle() -> int:
        return call.settle(300).charged

    def sweep() -> int:
        return len(swept(payer.account))

    at_once([*[settle] * 5, *[sweep] * sweeping])

    assert eventually(lambda: unfinished(site) == []), unfinished(site)
    assert payer.balance().spent == 300
    assert Hold.objects.get(id=call.id).charged == 300
    assert quotas.check_identities() == []


@on_leases
def test_a_dead_gateways_holds_end_soon_and_once(site: Site) -> None:
    payer = open_payer(tokens=1_000_000)
    with asyncio.Runner() as runner:
        calls = runner.run(begun(site.gateways[0].url, payer, 400))
        site.gateways[0].kill()
        killed = time.monotonic()
        runner.run(read_to_their_ends(calls))

    assert eventually(lambda: all(events_of(call.request_id) for call in calls))
    assert time.monotonic() - killed <= SWEPT_SECONDS
    for call in calls:
        (event,) = events_of(call.request_id)
        # Whoever is first: the sweeper, or the other gateway, which has adopted the dead one's spool.
        assert (event["outcome"], event["finished_by"]) in {("expired", "sweeper"), ("expired", "spool")}
        assert 0 < event["charged"] <= used(site, call)
    assert payer.balance().spent == sum(events_of(call.request_id)[0]["charged"] for call in calls)
    site.heal()
    assert eventually(lambda: unfinished(site) == []), unfinished(site)
    assert quotas.check_identities() == []


@on_leases
@pytest.mark.parametrize("tokens", [80, 400], ids=["ended meanwhile", "still going on"])
def test_a_frozen_gateways_holds_are_corrected_once_when_it_goes_on(site: Site, tokens: int) -> None:
    """The sweeper charges what was reported, and the gateway corrects that to what was used."""
    payer = open_payer(tokens=1_000_000)
    with asyncio.Runner() as runner:
        calls = runner.run(begun(site.gateways[0].url, payer, tokens))
        site.gateways[0].freeze()
        assert eventually(lambda: all(events_of(call.request_id) for call in calls))
        site.gateways[0].thaw()
        runner.run(read_to_their_ends(calls))

    assert eventually(lambda: all(len(events_of(call.request_id)) == 2 for call in calls))
    for call in calls:
        expiry, correction = events_of(call.request_id)
        assert expiry["outcome"] == "expired"
        assert correction["corrects"] == expiry["reservation_id"]
        charged, generated = expiry["charged"] + correction["charged"], used(site, call)
        if call.whole and call.events[-1] == b"[DONE]":
            assert charged == generated
        else:
            assert charged <= generated
    assert eventually(lambda: unfinished(site) == []), unfinished(site)
    assert quotas.check_identities() == []
