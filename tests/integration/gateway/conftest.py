"""One gateway's lease backend on the real stores, without the gateway around it."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import orjson
import pytest
from django.db import connections
from redis import Redis

from apps.core.ids import uuid7
from apps.core.units import Usage, Weights
from apps.limiter.api import Limiter, Purse
from apps.quotas import api as quotas
from gateway.control_plane import (
    LIBRARY,
    TOMBSTONE_MS,
    Admitted,
    Bucket,
    Budget,
    CallFacts,
    Claim,
    ClaimEnd,
    Database,
    Policy,
    Settlement,
    Tier,
)
from gateway.lease_supply import Supply
from gateway.leases import LeaseQuota
from gateway.quota import Demand, Ending, Terms
from gateway.spool import Spool
from gateway.spool_file import SpoolFile
from gateway.spool_keeper import SpoolKeeper
from gateway.valkey import Valkey
from tests.integration.quotas.purses import forget_journals

WIDE = Policy(Bucket(10**9, 10**12))
"""A bucket that refuses nothing."""


@dataclass(frozen=True, slots=True)
class Payer:
    """Somebody with an account."""

    id: UUID
    account: UUID


def _open_payer(tokens: int) -> Payer:
    payer = uuid4()
    account = quotas.grant(
        payer_kind="user", payer_id=payer, provider="openai", tokens=tokens, grant_id=uuid4(), reason="test", actor="t"
    )
    return Payer(payer, account.id)


def demand(
    payer: Payer, amount: int, *, policy: Policy = WIDE, budgets: tuple[Budget, ...] = (), claim: Claim | None = None,
    credential: str = "key", tier: Tier | None = None,
) -> Demand:  # fmt: skip
    """A call of a payer's."""
    facts = CallFacts(
        f"req_{uuid4().hex}", "user", payer.id, None, payer.id, credential, "openai", "gpt-4o-mini", "chat",
        streamed=False, traceparent="", price_id="p", weights=Weights(), input_price=1, cached_input_price=1,
        output_price=1, currency="USD",
    )  # fmt: skip
    terms = Terms(payer.account, tier or Tier("t", 10**9, 10**12, 1, 0), policy, credential, str(payer.id), None)
    return Demand(uuid7(), amount, terms, facts, orjson.dumps(facts), budgets, claim)


def ended(asked: Demand, tokens: int, claim_end: ClaimEnd = ClaimEnd.DONE, *, before_start: bool = False) -> Ending:
    """A call that came to so many tokens."""
    settlement = Settlement(
        asked.hold, asked.terms.account, tokens, Usage(input=tokens), "completed", "provider", 200, 5
    )  # fmt: skip
    return Ending(settlement, claim_end, before_start)


class Backend:
    """The parts of a gateway that spend leases."""

    def __init__(self, store: Valkey, database: Database, directory: Path, *, resend_ms: int = 60_000) -> None:
        self.database = database
        self.store = store
        self.spool = Spool(SpoolFile.create(directory / f"{uuid7()}.spool"), call_ms=900_000, resend_ms=resend_ms)
        self.keeper = SpoolKeeper(self.spool, store, database)
        self.supply = Supply(database, store, self.keeper.register)
        self.quota = LeaseQuota(store, self.supply, self.spool, wait_seconds=5, tombstone_ms=TOMBSTONE_MS)

    async def start(self) -> "Backend":
        """Make its spool known."""
        await self.keeper.register()
        self.supply.generation = await self.database.run(quotas.ledger_generation)
        return self

    async def open_payer(self, tokens: int) -> Payer:
        """Somebody new, with a grant."""
        return await self.database.run(_open_payer, tokens)

    async def balance(self, payer: Payer) -> quotas.Account:
        """A payer's account in the ledger."""
        return await self.database.run(quotas.balance, payer.account)

    async def call(self, payer: Payer, amount: int, used: int) -> tuple[Demand, Admitted]:
        """A whole call."""
        asked = demand(payer, amount)
        admitted = await self.quota.admit(asked)
        await self.quota.end(asked, admitted, ended(asked, used))()
        return asked, admitted


@pytest.fixture
def purse_of() -> Callable[[Payer], Purse | None]:
    def purse(payer: Payer) -> Purse | None:
        with Limiter(os.environ["QUOTA_REDIS_URL"]) as limiter:
            return limiter.purse(payer.account)

    return purse


@pytest.fixture
def valkey() -> Iterator[Redis]:
    """A plain client, to look and to harm."""
    with Redis.from_url(os.environ["QUOTA_REDIS_URL"]) as client:
        yield client


@pytest.fixture
async def stores(committed: None) -> AsyncIterator[tuple[Valkey, Database]]:
    """Valkey, whose journals have nothing of earlier tests in them, and PostgreSQL.

    Entries of a test that was rolled back are about accounts that are not, and a mark waits until they are parked.
    """
    forget_journals()
    async with AsyncExitStack() as opened:
        database = Database(1, timeout_s=5)
        opened.callback(database.close)
        opened.push_async_callback(database.run, connections.close_all)
        store = await Valkey.connect(os.environ["QUOTA_REDIS_URL"], timeout_s=2, library=LIBRARY.text)
        opened.push_async_callback(store.close)
        yield store, database


@pytest.fixture
async def backend(stores: tuple[Valkey, Database], tmp_path: Path) -> AsyncIterator[Backend]:
    backend = await Backend(*stores, tmp_path).start()
    yield backend
    await backend.quota.close()


@pytest.fixture
async def successor(stores: tuple[Valkey, Database], tmp_path: Path) -> Backend:
    """A gateway that starts when another has died."""
    return await Backend(*stores, tmp_path, resend_ms=1).start()
