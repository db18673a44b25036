"""Gateways' spools as the ledger knows them: no lease closes while one of them may still hold calls of its time."""

from dataclasses import dataclass

from django.db.backends.utils import CursorWrapper

from apps.audit.api import Subject, record
from apps.quotas.leases import SpoolReport
from apps.quotas.transactions import ledger_transaction


@dataclass(frozen=True, slots=True)
class Stamp:
    """A moment of the ledger's own clock, and the generation that it belongs to."""

    tick: int
    generation: int


def register_spool(spool_id: str, host: str) -> Stamp:
    """Make a spool known, before its process admits its first call. What it reports next is as of the answer.

    Raises:
        StoreUnavailable: PostgreSQL did not answer; admit nothing yet.
    """
    with ledger_transaction() as cursor:
        cursor.execute(_REGISTER, [spool_id, host])
        return Stamp(*cursor.fetchone())


_REGISTER = """
WITH control AS (SELECT tick, generation FROM quotas_control), made AS (
    INSERT INTO quotas_spool (id, host, reported_tick) SELECT %s, %s, tick FROM control
    ON CONFLICT (id) DO UPDATE SET state = 'OPEN', ended_at = NULL, reason = ''
)
SELECT tick, generation FROM control
"""


def report_spool(spool_id: str, host: str, *, oldest_age_ms: int | None, pending: int, as_of: Stamp) -> Stamp:
    """Say for how long the spool's oldest entry has waited for the ledger (None: nothing waits), and how many do.

    ``as_of`` is what the report before was answered, or the registration. So a report is never taken for newer than
    what it tells of, however long its process was frozen before it arrived; one from before a restore says nothing. A
    spool that was closed or written off and reports again is there again.

    Raises:
        StoreUnavailable: PostgreSQL did not answer.
    """
    with ledger_transaction() as cursor:
        report = {"id": spool_id, "host": host, "age": oldest_age_ms, "pending": pending}
        cursor.execute(_REPORT, report | {"tick": as_of.tick, "generation": as_of.generation})
        return Stamp(*cursor.fetchone())


_REPORT = """
WITH control AS (
    SELECT tick, generation, CASE WHEN generation = %(generation)s THEN least(%(tick)s, tick) ELSE -9000000000000000
    END AS told FROM quotas_control
), made AS (
    INSERT INTO quotas_spool (id, host, pending, reported_tick, oldest_tick)
    SELECT %(id)s, %(host)s, %(pending)s, told, told - %(age)s::bigint FROM control
    ON CONFLICT (id) DO UPDATE SET
        host = excluded.host, pending = excluded.pending, reported_at = clock_timestamp(), state = 'OPEN',
        ended_at = NULL, reported_tick = excluded.reported_tick, oldest_tick = excluded.oldest_tick, reason = ''
)
SELECT tick, generation FROM control
"""


def close_spool(spool_id: str) -> None:
    """Say that a spool is covered whole and its file gone. Without effect where there is none."""
    with ledger_transaction() as cursor:
        cursor.execute(_END, {"id": spool_id, "state": "CLOSED", "reason": ""})


def write_off_spool(spool_id: str, reason: str) -> bool:
    """Stop waiting for a spool whose file is lost: what only it knew is not charged. Returns whether it was open."""
    with ledger_transaction() as cursor:
        cursor.execute(_END, {"id": spool_id, "state": "WRITTEN_OFF", "reason": reason})
        was_open = bool(cursor.rowcount)
        if was_open:
            before, after = {"state": "OPEN"}, {"state": "WRITTEN_OFF"}
            record("spool.written_off", Subject("spool", spool_id), before, after, reason=reason)
        return was_open


_END = """
UPDATE quotas_spool SET
    state = %(state)s, reason = %(reason)s, pending = 0, oldest_tick = NULL, ended_at = clock_timestamp()
WHERE id = %(id)s AND state = 'OPEN'
"""


def open_spools(cursor: CursorWrapper) -> list[SpoolReport]:
    """What the spools that count have last reported."""
    cursor.execute("SELECT reported_tick, oldest_tick FROM quotas_spool WHERE state = 'OPEN'")
    return [SpoolReport(*row) for row in cursor.fetchall()]
