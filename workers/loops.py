"""Every loop, one list. Imported once Django is set up, because it reaches the apps.

Those that need Valkey make its client with their first pass: where it is away, the pass fails and the loop backs off.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial

from apps.limiter.api import SHARDS
from apps.quotas import api as quotas
from workers import settings
from workers.loop import Loop

EXPIRED_HOLDS_A_PASS = 500
ENTRIES_A_PASS = 500
LEASES_A_PASS = 500
NEVER_FULL = sys.maxsize
DRAIN_IDLE_SECONDS = 0.2


def drain_shards(shards: range) -> Callable[[], int]:
    """Book the journals of some shards; what fails again and again is remembered from pass to pass."""
    drainers: list[quotas.Drainer] = []

    def drain() -> int:
        if not drainers:
            drainers.append(quotas.Drainer(quotas.quota_store(), shards))
        return drainers[0].drain()

    return drain


def keep_leases() -> Callable[[], int]:
    """Upkeep, which remembers when its last pass was."""
    keepers: list[quotas.Upkeep] = []

    def keep() -> int:
        if not keepers:
            keepers.append(quotas.Upkeep(quotas.quota_store()))
        return keepers[0].keep()

    return keep


def drainers() -> Iterator[Loop]:
    """Several, each with its own shards: workers share them, and a slow one holds up nobody else."""
    step = -(-SHARDS // settings.DRAINERS)
    for number, first in enumerate(range(0, SHARDS, step)):
        shards = range(first, min(first + step, SHARDS))
        name = f"drain_{number}"
        yield Loop(name, drain_shards(shards), full=ENTRIES_A_PASS, idle_seconds=DRAIN_IDLE_SECONDS)


LOOPS = (
    # A hold whose caller died is given back to its account.
    Loop("expire_holds", partial(quotas.expire_holds, limit=EXPIRED_HOLDS_A_PASS), full=EXPIRED_HOLDS_A_PASS),
    # What ended in Valkey is booked in the ledger.
    *drainers(),
    # A hold in Valkey whose gateway died ends; passes that come too early count as none.
    Loop("sweep_holds", lambda: quotas.sweep_holds(quotas.quota_store()), full=NEVER_FULL),
    # Leases live on, are recalled, are closed.
    Loop("keep_leases", keep_leases(), full=LEASES_A_PASS),
    # What lots that are over have left leaves the account.
    Loop("expire_lots", lambda: quotas.expire_due_lots(quotas.quota_store()), full=NEVER_FULL, idle_seconds=5.0),
)
