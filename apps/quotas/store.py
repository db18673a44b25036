"""The quota Valkey as the ledger's loops and commands reach it."""

from collections.abc import Sequence
from functools import cache
from typing import cast

from django.conf import settings

from apps.limiter.api import Limiter, Mark, Purse, shard_of
from apps.quotas import leases
from apps.quotas.leases import Lease


@cache
def quota_store() -> Limiter:
    """This process's client; its threads share it. Made when it is first needed: a cluster must answer then.

    Raises:
        StoreUnavailable
    """
    return Limiter(settings.QUOTA_REDIS_URL)


def own_purse(limiter: Limiter, lease: Lease) -> Purse | None:
    """The purse of this very lease on the server that it was granted on, if it is still there."""
    return own_purses(limiter, [lease])[0]


def own_purses(limiter: Limiter, leases_of_shard: Sequence[Lease]) -> list[Purse | None]:
    """The same of several leases of one shard, in one round trip."""
    purses = limiter.purses([lease.account for lease in leases_of_shard])
    run_id = limiter.run_id(shard_of(leases_of_shard[0].account))
    return [
        purse
        if purse and (purse.generation, purse.epoch, purse.run_id) == (lease.generation, lease.epoch, run_id)
        else None
        for lease, purse in zip(leases_of_shard, purses, strict=True)
    ]


def tokens_in(purse: Purse | None) -> int:
    """What a purse still has to give back, or to spend."""
    return purse.available + purse.reserved + purse.quarantined if purse else 0


def mark_of(mark: Mark) -> leases.Mark:
    """A shard's mark, for the rules of leases."""
    return leases.Mark(mark.journal_id, mark.last, mark.at)


def now_ms(limiter: Limiter, shard: int) -> int:
    """The time of the server of a shard, by which parts are too late."""
    seconds, micro = cast("tuple[bytes, bytes]", limiter.ask(shard, "TIME"))
    return int(seconds) * 1000 + int(micro) // 1000
