"""Seals: each day's transfers under one SHA-256 that also covers the seal of the day before.

Triggers and privileges keep the ledger append-only; whoever gets around them, as the database's superuser can, breaks
the seal of every day that is touched. To hide that, all seals since must be made anew: keep a copy of one elsewhere (it
is in the log when it is made), and that shows, too.
"""

import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import cast

import structlog
from django.db import connection
from prometheus_client import Gauge

from apps.quotas.domain import Difference
from apps.quotas.transactions import ledger_transaction

GRACE = timedelta(hours=1)
"""After its end a day is not sealed yet: transactions that began in it may still commit."""

FIRST = bytes(32)
"""What stands for the seal before the first."""

TURN_SECONDS = 300
"""For how long it is one day's turn to be compared: as long as from one audit to the next."""

BATCH = 5_000
SHOWN_BYTES = 6
"""Of a digest, as far as a difference shows it."""

log = structlog.get_logger(__name__)

_sealed = Gauge("leaky_ledger_sealed_timestamp_seconds", "Up to when the ledger's transfers are sealed.")


def seal_days(now: datetime | None = None) -> int:
    """Seal every day that is over and has no seal, the oldest first; returns how many. Done twice, it changes nothing.

    ``now`` is PostgreSQL's, unless a test says otherwise.

    Raises:
        StoreUnavailable: PostgreSQL did not answer.
    """
    last = ((now or _database_time()) - GRACE).astimezone(UTC).date() - timedelta(days=1)
    sealed = 0
    while (day := _next_day()) is not None and day <= last:
        _seal(day)
        sealed += 1
    return sealed


def check_seals(day: date | None = None) -> list[Difference]:
    """What differs from its seal, of a day or of all. A seal that was itself rewritten shows in the day after it.

    Raises:
        StoreUnavailable: PostgreSQL did not answer.
    """
    found: list[Difference] = []
    for sealed, transfers, digest, previous in _seals(day):
        count, actual = _digest(sealed, previous)
        if count != transfers:
            found.append(Difference(None, f"transfers of {sealed} (seal)", transfers, count))
        elif actual != digest:
            found.append(Difference(None, f"digest of {sealed} (seal)", _shown(digest), _shown(actual)))
    return found


def check_a_seal(seconds: float) -> list[Difference]:
    """The same of one day: of another each time, so that passes a few minutes apart go through all of them."""
    with ledger_transaction() as cursor:
        cursor.execute("SELECT day FROM quotas_day_seal ORDER BY day")
        days = [day for (day,) in cursor.fetchall()]
    return check_seals(days[int(seconds // TURN_SECONDS) % len(days)]) if days else []


def _database_time() -> datetime:
    """By the clock that transfers are dated with: a worker's that is ahead would seal a day that is not over."""
    with ledger_transaction() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    return cast("datetime", now)


def _next_day() -> date | None:
    """The day after the latest seal, or that of the first transfer; None when there is none."""
    with ledger_transaction() as cursor:
        cursor.execute(
            "SELECT coalesce((SELECT max(day) + 1 FROM quotas_day_seal), "
            "(SELECT (min(at) AT TIME ZONE 'UTC')::date FROM quotas_transfer))"
        )
        (day,) = cursor.fetchone()
    return day if isinstance(day, date) else None


def _seal(day: date) -> None:
    """Of two who seal the same day at once, both find the same, and one of them writes it."""
    with ledger_transaction() as cursor:
        cursor.execute("SELECT digest FROM quotas_day_seal WHERE day = %s", [day - timedelta(days=1)])
        before = cursor.fetchone()
        count, digest = _digest(day, bytes(before[0]) if before else FIRST)
        cursor.execute(
            "INSERT INTO quotas_day_seal (day, transfers, digest) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            [day, count, digest],
        )
    _sealed.set(datetime.combine(day + timedelta(days=1), time(), UTC).timestamp())
    log.info("ledger.day_sealed", day=str(day), transfers=count, digest=digest.hex())


def _seals(day: date | None) -> Iterator[tuple[date, int, bytes, bytes]]:
    """Day, transfers, digest, and the digest of the day before."""
    with ledger_transaction() as cursor:
        cursor.execute(
            "SELECT seal.day, seal.transfers, seal.digest, before.digest FROM quotas_day_seal AS seal "
            "LEFT JOIN quotas_day_seal AS before ON before.day = seal.day - 1 "
            "WHERE %(day)s::date IS NULL OR seal.day = %(day)s ORDER BY seal.day",
            {"day": day},
        )
        rows = cursor.fetchall()
    for sealed, transfers, digest, previous in rows:
        yield sealed, transfers, bytes(digest), bytes(previous) if previous is not None else FIRST


def _digest(day: date, previous: bytes) -> tuple[int, bytes]:
    """How many transfers a day has, and the SHA-256 over the seal before and all of them, in their order."""
    begin = datetime.combine(day, time(), UTC)
    digest, count = hashlib.sha256(previous), 0
    # The database's own cursor: a day may be larger than this process's memory, and to sort it may take a while.
    with ledger_transaction() as cursor, connection.connection.cursor(name="quotas_seal") as rows:
        cursor.execute("SET LOCAL statement_timeout = '10min'")
        rows.itersize = BATCH
        for (text,) in rows.execute(_TRANSFERS, [begin, begin + timedelta(days=1)]):
            written = text.encode()
            digest.update(len(written).to_bytes(8, "big") + written)
            count += 1
    return count, digest.digest()


# A row as PostgreSQL writes one: quoted where it must be, so no two rows look the same. The time as a number, because
# how a time is written depends on the session.
_TRANSFERS = """
SELECT ROW(account_id, id, code, debit, credit, amount, ref, reason, actor, request_id,
           (extract(epoch FROM at) * 1000000)::bigint)::text
FROM quotas_transfer WHERE at >= %s AND at < %s ORDER BY at, id
"""


def _shown(digest: bytes) -> int:
    return int.from_bytes(digest[:SHOWN_BYTES], "big")
