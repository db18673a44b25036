"""What a gateway does about each change: the least that is right, and again after an answer that broke off."""

from collections.abc import Collection
from typing import Any, cast

import pytest

from apps.accounts.tokens import Trust
from apps.core.errors import StoreUnavailable
from apps.providers.api import Catalogue
from gateway.config_watch import ConfigWatch
from gateway.control_plane import Database, Snapshot

EMPTY = Catalogue({}, {})
TRUST = Trust("ours", "https://gateway.example", "us")


class Changes:
    """The database's part: versions, who was concerned, and how often a whole snapshot was read."""

    def __init__(self) -> None:
        self.now = {"catalogue": 1, "credentials": 5}
        self.subjects: Collection[str] | None = None
        self.asked_since: list[tuple[int, int]] = []
        self.snapshots = 0
        self.breaks_off = False

    async def versions(self) -> dict[str, int]:
        return self.now

    async def changes(self, after: int, until: int) -> Collection[str] | None:
        self.asked_since.append((after, until))
        return self.subjects

    async def snapshot(self) -> Snapshot:
        if self.breaks_off:
            raise StoreUnavailable("broken off")
        self.snapshots += 1
        return Snapshot(dict(self.now), EMPTY, {}, {}, TRUST, 1)


class Gateway:
    """Who is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def adopt(self, _snapshot: Snapshot, changed: set[str]) -> None:
        self.told.append(("adopt", changed))

    def forget(self, subjects: Collection[str] | None) -> None:
        self.told.append(("forget", subjects))


@pytest.fixture
def changes() -> Changes:
    return Changes()


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def watch(changes: Changes, gateway: Gateway) -> ConfigWatch:
    return ConfigWatch(cast("Database", changes), gateway, poll_seconds=60, outage_seconds=600)


async def test_the_first_look_adopts_everything(watch: ConfigWatch, changes: Changes, gateway: Gateway) -> None:
    await watch.freshness.compare()
    await watch.freshness.compare()

    assert gateway.told == [("forget", None), ("adopt", {"catalogue", "credentials"})]
    assert (changes.asked_since, changes.snapshots) == ([], 1)


async def test_a_change_of_credentials_costs_no_snapshot(
    watch: ConfigWatch, changes: Changes, gateway: Gateway
) -> None:
    await watch.freshness.compare()
    gateway.told.clear()
    changes.now, changes.subjects = {"catalogue": 1, "credentials": 8}, {"user:1"}

    await watch.freshness.compare()
    await watch.freshness.compare()

    assert gateway.told == [("forget", {"user:1"})]
    assert (changes.asked_since, changes.snapshots) == ([(5, 8)], 1)


async def test_whoever_is_shut_out_is_forgotten_first_and_again_until_all_is_adopted(
    watch: ConfigWatch, changes: Changes, gateway: Gateway
) -> None:
    await watch.freshness.compare()
    gateway.told.clear()
    changes.now, changes.subjects = {"catalogue": 2, "credentials": 6}, {"key:1"}
    changes.breaks_off = True

    with pytest.raises(StoreUnavailable):
        await watch.freshness.compare()
    assert gateway.told == [("forget", {"key:1"})]

    changes.breaks_off = False
    await watch.freshness.compare()
    assert gateway.told == [("forget", {"key:1"})] * 2 + [("adopt", {"catalogue", "credentials"})]


async def test_another_topic_forgets_nobody(watch: ConfigWatch, changes: Changes, gateway: Gateway) -> None:
    await watch.freshness.compare()
    gateway.told.clear()
    changes.now = {"catalogue": 1, "credentials": 5, "tiers": 1}

    await watch.freshness.compare()

    assert gateway.told == [("adopt", {"tiers"})]
