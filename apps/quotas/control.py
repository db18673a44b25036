"""The ledger's one row of control: its generation, whether closing is frozen, and its own clock."""

from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.backends.utils import CursorWrapper

from apps.audit.api import Subject, record
from apps.config.api import LEDGER, touch
from apps.quotas.leases import GRANT_MS
from apps.quotas.transactions import ledger_transaction

LONGEST_TICK_MS = 5_000
"""The most that one pass of upkeep adds to the ledger's clock, however long it was away."""

_SUBJECT = Subject("ledger", "1")


@dataclass(frozen=True, slots=True)
class State:
    """``generation`` of the ledger; ``tick``: its own clock in ms; ``frozen_because`` is empty while leases may
    close.
    """

    generation: int
    tick: int
    closing_frozen: bool
    frozen_because: str


def ledger_id() -> UUID:
    """Which ledger this is. It stays the same when the ledger moves to another server, or is restored from a backup."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger FROM quotas_control")
        found: UUID = cursor.fetchone()[0]
        return found


def ledger_generation() -> int:
    """The ledger's generation: purses of an older one are void."""
    return ledger_state().generation


def ledger_state() -> State:
    """The row as it is now."""
    with connection.cursor() as cursor:
        return read_state(cursor)


def read_state(cursor: CursorWrapper) -> State:
    """The same in somebody's transaction."""
    cursor.execute("SELECT generation, tick, closing_frozen, frozen_because FROM quotas_control")
    return State(*cursor.fetchone())


def tick(elapsed_ms: int) -> int:
    """Let the ledger's clock go on by what has really passed since the last pass; returns its time in ms.

    It never goes faster than time itself and cannot jump, so that closing leases rests on no wall clock. It stands
    while no upkeep runs: leases then close later, which is safe.
    """
    with ledger_transaction() as cursor:
        cursor.execute(
            "UPDATE quotas_control SET tick = tick + %s RETURNING tick", [max(0, min(elapsed_ms, LONGEST_TICK_MS))]
        )
        return int(cursor.fetchone()[0])


def bump_generation(reason: str) -> int:
    """After the ledger was restored to an older state: void all purses, put their leases in doubt, tell the gateways.

    Raises:
        StoreUnavailable: PostgreSQL did not answer; look before doing it again.
    """
    with ledger_transaction() as cursor:
        cursor.execute("UPDATE quotas_control SET generation = generation + 1 RETURNING generation")
        generation = int(cursor.fetchone()[0])
        cursor.execute(_DOUBT_ALL, [settings.QUOTA_LEASE_SECONDS * 1000 + GRANT_MS])
        record("ledger.generation", _SUBJECT, {"generation": generation - 1}, {"generation": generation}, reason=reason)
        touch(LEDGER)
        return generation


# Rows are as old as the backup: their purses may have been prolonged since, and gateways have not heard yet.
_DOUBT_ALL = """
UPDATE quotas_lease SET
    state = 'DOUBT', doubt = 'generation', doubted_at = coalesce(doubted_at, clock_timestamp()),
    expires_tick = greatest(expires_tick, (SELECT tick FROM quotas_control) + %s)
WHERE state <> 'CLOSED'
"""


def freeze_closing(because: str) -> None:
    """Close no lease until somebody has looked. Traffic goes on. Frozen already: nothing changes."""
    _set_frozen(because, frozen=True)


def thaw_closing(reason: str) -> None:
    """Let leases close again."""
    _set_frozen(reason, frozen=False)


def _set_frozen(reason: str, *, frozen: bool) -> None:
    with ledger_transaction() as cursor:
        because = reason if frozen else ""
        cursor.execute(_SET_FROZEN, {"frozen": frozen, "because": because})
        if cursor.rowcount:
            action = "ledger.closing_frozen" if frozen else "ledger.closing_thawed"
            record(action, _SUBJECT, {"frozen": not frozen}, {"frozen": frozen}, reason=reason)


_SET_FROZEN = """
UPDATE quotas_control SET closing_frozen = %(frozen)s, frozen_because = %(because)s WHERE closing_frozen <> %(frozen)s
"""
