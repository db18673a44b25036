"""Purses in the real Valkey, and calls that spend from them, as gateways do."""

import os
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from apps.core.ids import uuid7
from apps.limiter.api import (
    SHARDS,
    Admitted,
    Applied,
    Beat,
    Bucket,
    Ended,
    Ending,
    Limiter,
    Order,
    PartOfLease,
    Policy,
    Pulse,
    Refusal,
    Sweep,
    Swept,
    grant_call,
    heartbeat_call,
    journal_key,
    mark_key,
    reserve_call,
    settle_call,
    shard_of,
    sweep_call,
    topup_call,
)
from apps.quotas.api import GRANT_MS, Budget, CallFacts, Part, Settlement, ending_to_bytes, facts_to_bytes
from apps.quotas.drainer import BATCH, Drainer
from tests.integration.quotas.needs import leased
from tests.integration.quotas.payers import facts, settlement_of
from tests.integration.quotas.payers import hold_of as ledger_hold_of

POLICY = Policy(Bucket(10**9, 10**9))
TOMBSTONE_MS = 3_600_000


def limiter() -> Limiter:
    """A client of the quota Valkey."""
    return Limiter(os.environ["QUOTA_REDIS_URL"])


def forget_journals() -> None:
    """What tests before have left there: nobody drains it, and leases in doubt would wait for it."""
    with limiter() as valkey:
        for shard in range(SHARDS):
            valkey.ask(shard, "DEL", journal_key(shard), mark_key(shard))


def run_id(account: UUID) -> str:
    """The run of the server that has an account's purse."""
    with limiter() as valkey:
        return valkey.run_id(shard_of(account))


def filled(account: UUID, amount: int, **more: Any) -> Part:
    """A lease of an account, with its part in the purse."""
    part = leased(account, amount, run_id=run_id(account), **more)
    assert applied(part).kind == "ok"
    return part


def applied(part: Part) -> Applied:
    """Put a part into its purse."""
    call = grant_call if part.opens else topup_call
    with limiter() as valkey:
        return valkey.run(call(part_of_lease(part)))


def part_of_lease(part: Part) -> PartOfLease:
    """A part as the limiter takes it."""
    return PartOfLease(
        part.id, part.account, part.generation, part.epoch, part.run_id, part.amount, tuple(part.budgets.items()),
        part.ttl_ms, part.passes, int(time.time() * 1000) + GRANT_MS,
    )  # fmt: skip


@dataclass
class Call:
    """A call that was admitted with ``amount`` tokens from a purse."""

    part: Part
    amount: int
    budgets: tuple[Budget, ...] = ()
    id: UUID = field(default_factory=uuid7)
    facts: CallFacts = field(default_factory=facts)

    def reserve(self) -> Admitted | Refusal:
        """Ask for it."""
        order = Order(
            self.id, self.part.account, self.amount, self.part.generation, "k1", "u1", None,
            facts_to_bytes(self.facts), tuple(budget.id for budget in self.budgets), POLICY,
        )  # fmt: skip
        with limiter() as valkey:
            return valkey.run(reserve_call(order))

    def taken(self) -> "Call":
        """The same, admitted."""
        assert isinstance(self.reserve(), Admitted)
        return self

    def beat(self, progress: int) -> Pulse:
        """A sign of life."""
        with limiter() as valkey:
            return valkey.run(heartbeat_call(Beat(self.id, self.part.account, progress, "k1", "u1", None)))

    def settle(self, tokens: int, *, told: bool = True) -> Ended:
        """End it, with its facts for a Valkey that has forgotten it, unless not ``told``."""
        ending = Ending(
            self.id, self.part.account, self.part.epoch, self.part.generation, self.amount, POLICY, tokens,
            ending_to_bytes(self.settlement(tokens)), TOMBSTONE_MS, facts_to_bytes(self.facts) if told else None,
            tuple(budget.id for budget in self.budgets),
        )  # fmt: skip
        with limiter() as valkey:
            return valkey.run(settle_call(ending))

    def settlement(self, tokens: int) -> Settlement:
        """How it ended."""
        like = settlement_of(ledger_hold_of(self.part.account, 1), tokens)
        return Settlement(
            self.id, self.part.account, tokens, like.usage, like.outcome, like.usage_source, like.status,
            like.latency_ms, like.first_byte_ms,
        )  # fmt: skip


def swept(account: UUID, *, passes: int = 5, quarantine: int = 1000) -> list[Swept]:
    """Passes of the sweeper over an account's shard, at once."""
    call = sweep_call(shard_of(account), Sweep(1000, 0, 4, quarantine, TOMBSTONE_MS))
    with limiter() as valkey:
        return [valkey.run(call) for _ in range(passes)]


def drained(account: UUID) -> int:
    """Book all that an account's shard has; returns how many entries of the account there were.

    A sweeper's pass is over a whole shard: it may have met a hold that an earlier test has left there.
    """
    met = 0
    shards = [shard_of(account)]
    with limiter() as valkey:
        drainer = Drainer(valkey, shards)
        while waiting := [entry for _, _, entries in valkey.journals(shards, BATCH) for _, entry in entries]:
            met += sum(entry is not None and entry.account == account for entry in waiting)
            drainer.drain()
    return met
