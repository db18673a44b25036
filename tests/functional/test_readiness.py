"""Ready means that calls can be served, and that whoever has nothing is refused (RELIABILITY.md §1.4)."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import cast
from uuid import UUID

import httpx
import pytest
from django.db import connections

from gateway.control_plane import LIBRARY, Admitted, Database
from gateway.health import Health
from gateway.quota import Demand, Ending, Settle
from gateway.row_locks import RowLockQuota
from gateway.valkey import Valkey
from tests.functional.payers import eventually

LOOKS = 3
"""So often the gateway has asked before its answer is believed here."""


class OpenDoor:
    """A quota backend that was never wired up: it admits everybody."""

    def __init__(self) -> None:
        self.asked = asyncio.Queue[Demand]()

    async def admit(self, demand: Demand) -> Admitted:
        await self.asked.put(demand)
        return cast("Admitted", None)

    def end(self, demand: Demand, admitted: Admitted, ending: Ending) -> Settle:
        raise NotImplementedError(demand, admitted, ending)

    async def renew(self, live: Sequence[tuple[Demand, int]]) -> Mapping[UUID, str]:
        raise NotImplementedError(live)


@pytest.fixture
async def stores(committed: None) -> AsyncIterator[tuple[Database, Valkey]]:
    async with AsyncExitStack() as opened:
        database = Database(1, timeout_s=5)
        opened.callback(database.close)
        opened.push_async_callback(database.run, connections.close_all)
        valkey = await Valkey.connect(os.environ["QUOTA_REDIS_URL"], timeout_s=1, library=LIBRARY.text)
        opened.push_async_callback(valkey.close)
        yield database, valkey


@asynccontextmanager
async def watching(health: Health) -> AsyncIterator[None]:
    """The gateway's own look at itself, for a while."""
    watch = asyncio.create_task(health.watch_forever())
    yield
    watch.cancel()


async def test_a_gateway_that_admits_everybody_never_becomes_ready(stores: tuple[Database, Valkey]) -> None:
    quota = OpenDoor()
    health = Health(*stores, quota, needs_database=True)

    async with watching(health):
        for _ in range(LOOKS):
            await quota.asked.get()

    assert health.failing == ["quota_enforcement"]


async def test_a_gateway_that_refuses_who_has_nothing_becomes_ready(stores: tuple[Database, Valkey]) -> None:
    health = Health(*stores, RowLockQuota(stores[1], stores[0], hold_ms=1000), needs_database=True)

    async with watching(health):
        assert await asyncio.to_thread(eventually, lambda: not health.failing), health.failing


def test_a_running_system_says_what_it_is(gateway_url: str) -> None:
    ready, alive = httpx.get(f"{gateway_url}/readyz"), httpx.get(f"{gateway_url}/livez")

    assert (ready.status_code, ready.json()) == (200, {"status": "ok", "failing": []})
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
