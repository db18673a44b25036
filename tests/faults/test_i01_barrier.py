"""RELIABILITY.md I1 (a): five hundred calls behind a barrier on a grant for a hundred, at two gateways."""

import asyncio
from collections import Counter

import pytest

from apps.quotas import api as quotas
from tests.faults.site.backends import on_both
from tests.faults.site.checks import unfinished
from tests.faults.site.site import Site
from tests.functional.payers import Payer, eventually, open_payer
from tests.functional.raw_client import RawCall, send

CALLS, GRANTED, TOKENS = 500, 100, 20


async def one(url: str, payer: Payer, barrier: asyncio.Barrier) -> tuple[RawCall, bytes]:
    await barrier.wait()
    call = await send(url, payer, tokens=TOKENS, stream=False, orders={"delay-ms": 200})
    await call.head()
    body = await call.body()
    await call.leave()
    return call, body


async def at_once(site: Site, payer: Payer) -> list[tuple[RawCall, bytes]]:
    barrier = asyncio.Barrier(CALLS)
    urls = site.urls()
    return await asyncio.gather(*(one(urls[number % len(urls)], payer, barrier) for number in range(CALLS)))


async def cost_of_one(url: str, payer: Payer) -> int:
    """What such a call costs: it uses its whole cap, so hold and charge are the same."""
    call, _ = await one(url, payer, asyncio.Barrier(1))
    return int(call.headers["x-charged-tokens"])


def the_race(site: Site) -> None:
    cost = asyncio.run(cost_of_one(site.gateways[0].url, open_payer(tokens=1_000)))
    payer = open_payer(tokens=GRANTED * cost)

    answers = asyncio.run(at_once(site, payer))

    assert Counter(call.status for call, _ in answers) == {200: GRANTED, 429: CALLS - GRANTED}
    assert all(b"insufficient_quota" in body for call, body in answers if call.status == 429)
    assert eventually(lambda: unfinished(site) == []), unfinished(site)
    account = payer.balance()
    assert (account.spent, account.absorbed) == (GRANTED * cost, 0)
    assert eventually(lambda: payer.balance().leased == 0)
    assert quotas.check_identities() == []


@on_both
def test_exactly_the_granted_calls_are_served(site: Site) -> None:
    the_race(site)


@on_both
@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("_repeat", range(20))
def test_twenty_times_in_a_row(site: Site, _repeat: int) -> None:
    the_race(site)
