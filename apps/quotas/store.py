"""The quota Valkey as the ledger's loops and commands reach it."""

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
    purse = limiter.purse(lease.account)
    if purse is None or (purse.generation, purse.epoch) != (lease.generation, lease.epoch):
        return None
    return purse if purse.run_id == limiter.run_id(shard_of(lease.account)) else None


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
