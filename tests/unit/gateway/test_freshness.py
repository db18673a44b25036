"""What is remembered is believed only while it was lately known to be true; an outage of the database is no freeze."""

import asyncio
import time

import pytest

from apps.core.errors import StoreUnavailable
from gateway.freshness import PATIENCE_SECONDS, Freshness

TOLERATED = 0.05


class Store:
    """What is compared with: answers, refuses or hangs, and counts."""

    def __init__(self) -> None:
        self.asked = 0
        self.reading = asyncio.Event()
        self.refusals = 0
        self.seconds = 0.0

    async def compare(self) -> None:
        self.asked += 1
        self.reading.set()
        await asyncio.sleep(self.seconds)
        if self.refusals > 0:
            self.refusals -= 1
            raise StoreUnavailable("refused")


def fresh_for(store: Store, *, outage_s: float = 600) -> Freshness:
    return Freshness(store.compare, tolerated_s=TOLERATED, outage_s=outage_s)


def freeze() -> None:
    """Stop the whole process for longer than is tolerated: the event loop stands still too."""
    until = time.monotonic() + 2 * TOLERATED
    while time.monotonic() < until:
        pass


async def test_nothing_is_believed_before_the_first_comparison() -> None:
    store = Store()
    freshness = fresh_for(store)
    assert not freshness.is_fresh()

    await freshness.freshen()

    assert freshness.is_fresh()
    assert store.asked == 1


async def test_after_a_freeze_everybody_waits_for_one_comparison() -> None:
    store = Store()
    freshness = fresh_for(store)
    await freshness.compare()
    freeze()
    assert not freshness.is_fresh()

    await asyncio.gather(*(freshness.freshen() for _ in range(20)))

    assert freshness.is_fresh()
    assert store.asked == 2


async def test_a_comparison_that_began_before_the_freeze_says_nothing() -> None:
    store = Store()
    freshness = fresh_for(store)
    under_way = asyncio.ensure_future(freshness.compare())
    await store.reading.wait()
    freeze()
    await under_way
    assert not freshness.is_fresh()

    await freshness.freshen()

    assert store.asked == 2


async def test_one_refusal_after_a_freeze_is_no_outage() -> None:
    """A connection that died meanwhile fails once; nothing is believed until another one has answered."""
    store = Store()
    freshness = fresh_for(store)
    await freshness.compare()
    freeze()
    store.refusals = 1

    await freshness.freshen()

    assert freshness.is_fresh()
    assert store.asked == 3


async def test_while_the_store_is_away_memory_is_believed_and_nobody_waits() -> None:
    store = Store()
    freshness = fresh_for(store)
    await freshness.compare()
    freeze()
    store.refusals = 1_000
    await freshness.freshen()

    before, asked = time.monotonic(), store.asked
    for _ in range(100):
        await freshness.freshen()

    assert time.monotonic() - before < TOLERATED
    assert store.asked == asked
    assert not freshness.is_fresh()


async def test_a_store_that_hangs_is_waited_for_no_longer_than_patience_lasts() -> None:
    store = Store()
    freshness = fresh_for(store)
    await freshness.compare()
    freeze()
    store.seconds = 600

    before = time.monotonic()
    await freshness.freshen()

    assert PATIENCE_SECONDS <= time.monotonic() - before < PATIENCE_SECONDS + 0.5


async def test_an_outage_is_believed_over_only_so_long() -> None:
    store = Store()
    freshness = fresh_for(store, outage_s=2 * TOLERATED)
    await freshness.compare()
    freeze()
    store.refusals = 1_000

    with pytest.raises(StoreUnavailable):
        await freshness.freshen()

    store.refusals = 0
    freeze()
    await freshness.freshen()
    assert freshness.is_fresh()
