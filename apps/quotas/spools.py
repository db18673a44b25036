"""Gateways' spools as the ledger knows them: no lease closes while one of them may still hold calls of its time."""

from django.db.backends.utils import CursorWrapper

from apps.audit.api import Subject, record
from apps.quotas.leases import SpoolReport
from apps.quotas.transactions import ledger_transaction


def register_spool(spool_id: str, host: str) -> None:
    """Make a spool known, before its process admits its first call.

    Raises:
        StoreUnavailable: PostgreSQL did not answer; admit nothing yet.
    """
    report_spool(spool_id, host, oldest_age_ms=None, pending=0)


def report_spool(spool_id: str, host: str, *, oldest_age_ms: int | None, pending: int) -> None:
    """Say for how long the spool's oldest entry has waited for the ledger (None: nothing waits), and how many do.

    A spool that was closed or written off and reports again is there again.

    Raises:
        StoreUnavailable: PostgreSQL did not answer.
    """
    with ledger_transaction() as cursor:
        cursor.execute(_REPORT, {"id": spool_id, "host": host, "age": oldest_age_ms, "pending": pending})


_REPORT = """
INSERT INTO quotas_spool AS spool (id, host, pending, reported_tick, oldest_tick)
SELECT %(id)s, %(host)s, %(pending)s, tick, tick - %(age)s::bigint FROM quotas_control
ON CONFLICT (id) DO UPDATE SET
    host = excluded.host, pending = excluded.pending, reported_at = clock_timestamp(), state = 'OPEN', ended_at = NULL,
    reported_tick = excluded.reported_tick, oldest_tick = excluded.oldest_tick, reason = ''
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
