"""Random walks over all functions: accounts, holds, epochs, runs, generations and a clock that jumps.

A walk is made on the twin, which decides what can be asked next, and is then repeated, call by call, on a real Valkey.
"""

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

import redis

from apps.limiter.api import (
    Beat,
    Bucket,
    Call,
    Claim,
    ClaimEnd,
    Ending,
    EntryKind,
    Mode,
    Order,
    PartOfLease,
    Policy,
    Recall,
    Strategy,
    Sweep,
    adjust_call,
    drained_call,
    extend_call,
    grant_call,
    heartbeat_call,
    journal_key,
    mark_key,
    note_call,
    pour_call,
    raise_version_calls,
    recall_call,
    reserve_call,
    revoke_calls,
    settle_call,
    shard_of,
    sweep_call,
    topup_call,
)
from apps.limiter.twin import Reply, Twin

FUTURE = 4_000_000_000_000
"""Far enough ahead that no key of a walk expires by the server's own clock."""

RUNS = ("a" * 40, "b" * 40, "c" * 40)
SWEEP = Sweep(limit=3, pass_ms=15_000, missed=2, quarantine=4, tombstone_ms=400_000)
POLICIES = (
    Policy(Bucket(1000, 10_000)),
    Policy(Bucket(500, 0)),
    Policy(Bucket(800, 5_000), requests_per_minute=2, concurrency=3),
    Policy(Bucket(300, 20_000), Strategy.TOKEN_BUCKET),
    Policy(Bucket(200, 1), Strategy.FIXED_WINDOW, window_ms=30_000),
    Policy(Bucket(400, 3_000), mode=Mode.SHAPE, max_wait_ms=60_000),
    Policy(Bucket(90, 7), mode=Mode.SHAPE, max_wait_ms=600_000, concurrency=2),
    Policy(Bucket(10**9, 10**12), mode=Mode.SHAPE, max_wait_ms=10),
)
BUDGETS = ("k1", "member:o:u:2026-11-28")


class Step(NamedTuple):
    """One call as it was made on the twin; before it, those keys had expired."""

    expired: list[str]
    function: str
    keys: tuple[str, ...]
    args: tuple[Any, ...]
    reply: Reply


@dataclass
class Account:
    """What the walk believes of an account."""

    id: UUID
    policy: Policy
    epoch: int = 0
    generation: int = 1
    run: str = RUNS[0]
    last_part: PartOfLease | None = None


@dataclass
class Taken:
    """A hold of the walk, admitted or not."""

    id: UUID
    account: Account
    order: Order
    epoch: int
    waits: bool


@dataclass
class Walk:
    """A seed, and all that follows from it."""

    seed: int
    rng: Random = field(init=False)
    twin: Twin = field(default_factory=Twin)
    now: int = FUTURE
    run: str = RUNS[0]
    accounts: list[Account] = field(default_factory=list)
    holds: list[Taken] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    words: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        self.accounts = [Account(self.account_id(), policy) for policy in self.rng.sample(POLICIES, 4)]

    def account_id(self) -> UUID:
        """One of two shards, so that accounts share what a shard has."""
        while shard_of(account := self.uuid()) not in {7, 42}:
            pass
        return account

    def uuid(self) -> UUID:
        return UUID(int=self.rng.getrandbits(128))

    def go(self, steps: int) -> None:
        """Take so many steps, and check each purse after each of them."""
        kinds = {
            self.reserve: 30,
            self.settle: 20,
            self.heartbeat: 12,
            self.sweep: 8,
            self.topup: 6,
            self.grant: 6,
            self.pour: 4,
            self.adjust: 4,
            self.extend: 4,
            self.recall: 3,
            self.drained: 3,
            self.note: 1,
            self.death: 1,
        }
        for _ in range(steps):
            self.pass_time()
            self.rng.choices(list(kinds), list(kinds.values()))[0]()
            self.check_purses()

    def pass_time(self) -> None:
        self.now += self.rng.choice((0, 1, 7, 150, 900, 5_000, 15_000))
        chance = self.rng.random()
        if chance < 0.004:
            self.now += self.rng.choice((-3_600_000, 3_600_000, -70_000, -30_000, 700_000))
        elif chance < 0.008:
            self.run = self.rng.choice(RUNS)

    def make(self, call: Call[Any]) -> Reply:
        """Make a call on the twin, at the walk's time, and remember it."""
        expired = self.twin.expire(self.now)
        args = (self.run, *call.at(self.now).args)
        reply = self.twin.call(call.function, call.keys, args)
        self.steps.append(Step(expired, call.function, call.keys, args, reply))
        word = reply[0] if isinstance(reply, list) else reply
        name = call.function.rpartition("_")[0]
        self.words[f"{name} {word.decode() if isinstance(word, bytes) else ''}".strip()] += 1
        call.decode(reply)
        return reply

    def reserve(self) -> None:
        account = self.rng.choice(self.accounts)
        capacity = account.policy.bucket.capacity
        claim = Claim(self.rng.choice("xyz"), self.rng.choice(("f1", "f1", "f2")), 300_000)
        order = Order(
            hold=self.rng.choice(self.holds).id if self.holds and self.rng.random() < 0.03 else self.uuid(),
            account=account.id,
            amount=self.rng.choice((0, 1, 20, capacity // 4, capacity // 2, capacity, capacity + 1)) % 2001,
            generation=account.generation + (self.rng.random() < 0.02),
            credential=self.rng.choice(("c1", "c2", "c3")),
            user=self.rng.choice(("u1", "u2")),
            token_version=self.rng.choice((None, 1, 2, 3)),
            facts=self.rng.choice((b"", b"\x00facts\xff", b"facts")),
            budgets=BUDGETS[: self.rng.choice((0, 0, 0, 1, 2))],
            policy=account.policy,
            claim=claim if self.rng.random() < 0.2 else None,
            journal_limit=self.rng.choice((1000, 1000, 1000, 12)),
        )
        reply = self.make(reserve_call(order))
        assert isinstance(reply, list)
        if reply[0] == b"ok":
            self.holds.append(Taken(order.hold, account, order, int(reply[1]), waits=int(reply[7]) > 0))

    def settle(self) -> None:
        taken = self.some_hold()
        if taken is None:
            return
        order = taken.order
        leaves = taken.waits and self.rng.random() < 0.5
        amount = order.amount
        actual = 0 if leaves else self.rng.choice((0, amount // 3, amount, amount + 40, amount + 5000))
        ending = Ending(
            hold=taken.id,
            account=taken.account.id,
            epoch=taken.epoch,
            generation=order.generation,
            amount=amount,
            policy=order.policy,
            actual=actual,
            payload=b"usage",
            tombstone_ms=SWEEP.tombstone_ms,
            facts=order.facts if self.rng.random() < 0.5 else None,
            budgets=order.budgets,
            claim=order.claim.key if order.claim else None,
            claim_end=self.rng.choice((None, *ClaimEnd)),
            before_start=leaves,
        )
        self.make(settle_call(ending))

    def heartbeat(self) -> None:
        taken = self.some_hold()
        if taken is not None:
            order, progress = taken.order, self.rng.choice((0, 5, taken.order.amount, taken.order.amount + 9))
            beat = Beat(taken.id, taken.account.id, progress, order.credential, order.user, order.token_version)
            self.make(heartbeat_call(beat))

    def extend(self) -> None:
        taken = self.some_hold()
        if taken is not None:
            tokens = self.rng.choice((1, 50, 400, 5000))
            self.make(extend_call(taken.account.id, taken.id, tokens, taken.order.policy))

    def some_hold(self) -> Taken | None:
        """Mostly a late one; now and then one that nobody knows."""
        if not self.holds:
            return None
        taken = self.rng.choice(self.holds[-12:] if self.rng.random() < 0.8 else self.holds)
        if self.rng.random() < 0.05:
            return Taken(self.uuid(), taken.account, taken.order, taken.epoch, waits=False)
        return taken

    def part(self, account: Account, epoch: int) -> PartOfLease:
        budgets = tuple((name, self.rng.choice((0, 100, 900))) for name in BUDGETS if self.rng.random() < 0.6)
        run = self.run if self.rng.random() < 0.95 else self.rng.choice(RUNS)
        late = self.now + (5000 if self.rng.random() < 0.95 else -1)
        amount = self.rng.choice((0, 100, 1000, 20_000, 20_000))
        return PartOfLease(self.uuid(), account.id, account.generation, epoch, run, amount, budgets, 600_000, 42, late)

    def grant(self) -> None:
        account = self.rng.choice(self.accounts)
        if self.rng.random() < 0.03:
            account.generation += 1
            account.epoch = 0
        account.epoch += self.rng.choice((0, 1, 1, 1, 1))
        account.last_part = self.part(account, account.epoch)
        self.make(grant_call(account.last_part))

    def topup(self) -> None:
        account = self.rng.choice(self.accounts)
        again = account.last_part is not None and self.rng.random() < 0.2
        part = account.last_part if again else self.part(account, account.epoch - (self.rng.random() < 0.1))
        assert part is not None
        account.last_part = part
        self.make(topup_call(part))

    def recall(self) -> None:
        account = self.rng.choice(self.accounts)
        part = account.last_part
        recall_id = part.id if part is not None and self.rng.random() < 0.1 else self.uuid()
        amount, close = self.rng.choice((0, 50, 10_000)), self.rng.random() < 0.4
        self.make(recall_call(Recall(recall_id, account.id, account.generation, account.epoch, amount, close)))

    def sweep(self) -> None:
        self.make(sweep_call(shard_of(self.rng.choice(self.accounts).id), SWEEP))

    def pour(self) -> None:
        account = self.rng.choice(self.accounts)
        tokens = self.rng.choice((0, 3, account.policy.bucket.capacity // 2))
        self.make(pour_call(account.id, self.uuid(), account.policy, tokens))

    def adjust(self) -> None:
        account = self.rng.choice(self.accounts)
        poured = self.now - self.rng.choice((0, 10, 40_000))
        leaves = self.rng.random() < 0.2
        delta = -self.rng.choice((1, 30)) if leaves else self.rng.choice((-(10**12), -40, -1, 0, 5, 60, 10**12))
        call = adjust_call(account.id, self.uuid(), account.policy, delta, poured_ms=poured, before_start=leaves)
        self.make(call)

    def drained(self) -> None:
        shard = shard_of(self.rng.choice(self.accounts).id)
        entries = [entry for entry, _ in self.twin.store.streams.get(journal_key(shard), [])][:20]
        identity = (self.twin.store.hget(mark_key(shard), "id") or b"").decode()
        if self.rng.random() < 0.1:
            identity = "another"
        upto = self.rng.choice((entries[-1], entries[0], f"{self.now * 2}-0")) if entries else "0-0"
        self.make(drained_call(shard, identity, upto, entries))

    def note(self) -> None:
        self.make(note_call(self.rng.randrange(64), EntryKind.DENIED, self.uuid(), b"counts"))

    def death(self) -> None:
        shard = shard_of(self.rng.choice(self.accounts).id)
        calls = revoke_calls("c3", 60_000) if self.rng.random() < 0.5 else raise_version_calls("u2", 2, 90_000)
        self.make(calls[shard])

    def check_purses(self) -> None:
        """Nothing is lost and nothing is made, in any purse, ever."""
        for key, fields in self.twin.store.hashes.items():
            if ":purse:" in key:
                granted, *kept = (int(fields[name]) for name in ("gr", "av", "rs", "sp", "qz", "rt"))
                assert granted == sum(kept)
                assert min(kept) >= 0
                assert int(fields["lv"]) >= 0


def repeat(walk: Walk, client: redis.Redis) -> list[Reply]:
    """The walk's calls on a real Valkey, and what it answers."""
    pipeline, places = client.pipeline(transaction=False), []
    for step in walk.steps:
        for key in step.expired:
            pipeline.delete(key)
        places.append(len(pipeline))
        pipeline.execute_command("FCALL", step.function, len(step.keys), *step.keys, *step.args)
    replies = pipeline.execute()
    return [replies[place] for place in places]
