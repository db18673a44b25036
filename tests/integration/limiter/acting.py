"""An account with its calls on a real Valkey, at times of the test's choice."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from uuid import UUID, uuid4

from apps.limiter.api import (
    Admitted,
    Applied,
    Beat,
    Bucket,
    Call,
    Claim,
    Ended,
    Ending,
    Entry,
    Limiter,
    Mark,
    Order,
    PartOfLease,
    Policy,
    Pulse,
    Purse,
    Recall,
    Recalled,
    Refusal,
    RefusalKind,
    Sweep,
    Swept,
    grant_call,
    heartbeat_call,
    recall_call,
    reserve_call,
    settle_call,
    shard_of,
    sweep_call,
    topup_call,
)

T = TypeVar("T")

FUTURE = 4_000_000_000_000
SWEEP = Sweep(limit=100, pass_ms=15_000, missed=4, quarantine=62, tombstone_ms=3_600_000)
WIDE = Policy(Bucket(10**9, 10**12))


@contextmanager
def connected() -> Iterator[Limiter]:
    with Limiter(os.environ["QUOTA_REDIS_URL"]) as limiter:
        yield limiter


@dataclass
class Acting:
    """One account. ``run`` is what its connection believes of the server."""

    limiter: Limiter
    policy: Policy = WIDE
    id: UUID = field(default_factory=uuid4)
    now: int = FUTURE
    epoch: int = 0
    generation: int = 1
    run: str = field(init=False)
    orders: dict[UUID, Order] = field(default_factory=dict)
    epochs: dict[UUID, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.run = self.limiter.run_id(self.shard)

    @property
    def shard(self) -> int:
        return shard_of(self.id)

    def make(self, call: Call[T]) -> T:
        """Make a call as by a connection of the run that this one believes in."""
        if self.run == self.limiter.run_id(self.shard):
            return self.limiter.run(call.at(self.now))
        args = (self.run, *call.at(self.now).args)
        command: tuple[Any, ...] = ("FCALL", call.function, len(call.keys), *call.keys, *args)
        return call.decode(self.limiter.ask(self.shard, *command))

    def part(self, amount: int, **changes: Any) -> PartOfLease:
        part = PartOfLease(
            uuid4(), self.id, self.generation, self.epoch, self.run, amount, (), 600_000, 42, self.now + 5000
        )
        return replace(part, **changes)

    def grant(self, amount: int, **changes: Any) -> Applied:
        self.epoch += 1
        return self.make(grant_call(self.part(amount, **changes)))

    def topup(self, amount: int, **changes: Any) -> Applied:
        return self.make(topup_call(self.part(amount, **changes)))

    def order(self, amount: int, **changes: Any) -> Order:
        order = Order(uuid4(), self.id, amount, self.generation, "key:k", "u", None, b"facts", (), self.policy)
        return replace(order, **changes)

    def ask(self, order: Order) -> Admitted | Refusal:
        answer = self.make(reserve_call(order))
        if isinstance(answer, Admitted):
            self.orders[order.hold], self.epochs[order.hold] = order, answer.epoch
        return answer

    def admit(self, amount: int, **changes: Any) -> UUID:
        """A hold, which must be admitted."""
        order = self.order(amount, **changes)
        answer = self.ask(order)
        assert isinstance(answer, Admitted), answer
        return order.hold

    def refuse(self, amount: int, **changes: Any) -> Refusal:
        """A refusal, which must come."""
        answer = self.ask(self.order(amount, **changes))
        assert isinstance(answer, Refusal), answer
        return answer

    def refusal_kind(self, amount: int, **changes: Any) -> RefusalKind:
        return self.refuse(amount, **changes).kind

    def settle(self, hold: UUID, actual: int, **changes: Any) -> Ended:
        order = self.orders.get(hold) or self.order(100, hold=hold)
        ending = Ending(
            hold,
            self.id,
            self.epochs.get(hold, self.epoch),
            order.generation,
            order.amount,
            order.policy,
            actual,
            b"usage",
            SWEEP.tombstone_ms,
            budgets=order.budgets,
            claim=order.claim.key if order.claim else None,
        )
        return self.make(settle_call(replace(ending, **changes)))

    def beat(self, hold: UUID, progress: int, **changes: Any) -> Pulse:
        return self.make(heartbeat_call(replace(Beat(hold, self.id, progress, "key:k", "u", None), **changes)))

    def sweep(self, passes: int = 1) -> list[Swept]:
        """So many passes, one after the other."""
        swept = []
        for _ in range(passes):
            self.now += SWEEP.pass_ms
            swept.append(self.make(sweep_call(self.shard, SWEEP)))
        return swept

    def recall(self, amount: int = 0, **changes: Any) -> Recalled:
        recall = Recall(uuid4(), self.id, self.generation, self.epoch, amount, close=False)
        return self.make(recall_call(replace(recall, **changes)))

    def purse(self) -> Purse:
        purse = self.limiter.purse(self.id)
        assert purse is not None
        kept = (purse.available, purse.reserved, purse.spent, purse.quarantined, purse.returned)
        assert purse.granted == sum(kept)
        return purse

    def tokens(self) -> tuple[int, int, int, int, int]:
        """Available, reserved, spent, quarantined, returned."""
        purse = self.purse()
        return purse.available, purse.reserved, purse.spent, purse.quarantined, purse.returned

    def entries(self) -> list[Entry]:
        """What the journal says of this account."""
        read = [entry for _, entry in self.limiter.journal(self.shard, 100_000)]
        return [entry for entry in read if entry is not None and entry.account == self.id]

    def mark(self) -> Mark:
        return self.limiter.mark(self.shard)


def claim(key: str = "ab" * 32, fingerprint: str = "f1") -> Claim:
    return Claim(key, fingerprint, 86_400_000)
