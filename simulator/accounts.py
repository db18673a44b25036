"""Who calls: a few accounts on two shards, each with a habit of its own."""

from dataclasses import dataclass
from functools import cached_property
from random import Random
from uuid import UUID

from apps.limiter.api import Bucket, Claim, Policy, live_key, purse_key, shard_of
from apps.quotas.domain import Budget

ROOMY = Bucket(capacity=10**9, leak=10**9)
"""A bucket that refuses nobody: what is tested here is the purse."""

CLAIM_MS = 120_000


@dataclass(frozen=True)
class Account:
    """``usual`` tokens are held for a call, one comes every ``pause_ms`` a gateway."""

    id: UUID
    usual: int
    pause_ms: int
    grant: int
    policy: Policy
    budget: Budget | None = None
    claims: float = 0.0

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """What limits its calls beside its tokens."""
        return (self.budget,) if self.budget else ()

    def next_hold(self, rng: Random) -> int:
        """What the next call asks for, in tokens."""
        return max(1, int(self.usual * rng.uniform(0.2, 2)))

    @cached_property
    def shard(self) -> int:
        """Where its keys are."""
        return shard_of(self.id)

    def next_claim(self, rng: Random) -> Claim | None:
        """The idempotency key of the next call, if it has one: of a few, so that calls repeat one another."""
        if rng.random() > self.claims:
            return None
        return Claim(f"{rng.randrange(12):064x}", f"body{rng.randrange(8) // 7}", CLAIM_MS)

    @cached_property
    def first_keys(self) -> tuple[str, str]:
        """First keys of the calls that may change its purse: its own, and those of its whole shard."""
        return purse_key(self.id), live_key(self.shard)


def make_accounts(rng: Random, count: int, shards: int) -> list[Account]:
    """Accounts that share ``shards`` shards, some of them near the end of their tokens."""
    accounts: list[Account] = []
    while len(accounts) < count:
        candidate = UUID(int=rng.getrandbits(128), version=4)
        taken = {account.shard for account in accounts}
        if shard_of(candidate) in taken or len(taken) < shards:
            usual = rng.choice((100, 400, 1_000))
            concurrency = rng.choice((None, None, 6))
            policy = Policy(ROOMY, concurrency=concurrency)
            pause, holds = rng.choice((15_000, 60_000, 180_000)), rng.choice((2, 6, 20, 80))
            budget = rng.choice((None, Budget(f"key{len(accounts)}", usual * rng.choice((3, 20, 60)))))
            accounts.append(Account(candidate, usual, pause, usual * holds, policy, budget, claims=0.15))
    return accounts
