"""Upkeep of leases: those that are used live on, idle ones are recalled, those in doubt are closed when their time
has come.

Passes of a loop; each lease is a small step of its own, and every step may be repeated: the process can die after any
line. What PostgreSQL says is always committed before Valkey is told to do what it allows.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

import structlog
from django.conf import settings
from django.db import connection
from prometheus_client import Counter, Gauge

from apps.core.errors import StoreUnavailable
from apps.core.ids import uuid7
from apps.limiter.api import AppliedKind, Limiter, PartOfLease, Recall, recall_call, shard_of, topup_call
from apps.quotas.closing import close_lease, doubt_lease, watch_journal
from apps.quotas.control import ledger_state, tick
from apps.quotas.leases import GRANT_MS, Lease, LeaseState, lease_id, may_close
from apps.quotas.leasing import passes_in
from apps.quotas.spools import open_spools
from apps.quotas.store import mark_of, now_ms, own_purse, tokens_in
from apps.quotas.transactions import ledger_transaction

BATCH = 500
"""Leases of each kind that one pass looks at."""

UNCONFIRMED_MS = 2 * GRANT_MS
"""After this time a part that nobody has confirmed is sent again, if it may be."""

MOST_PARTS_SINCE = 100
"""A purse remembers some more parts than this: an older one might be taken for new."""

log = structlog.get_logger(__name__)

_steps = Counter("leaky_lease_steps", "What upkeep did to leases.", ["step"])
_in_doubt = Gauge("leaky_leases_in_doubt", "Leases in doubt.")
_tokens_in_doubt = Gauge("leaky_lease_tokens_in_doubt", "Tokens of leases in doubt that are neither spent nor back.")


@dataclass(frozen=True, slots=True)
class _Kept:
    """An OPEN lease that is due: whether a call or a part has used it since it was last prolonged, and if it is
    over.
    """

    lease: Lease
    is_used: bool
    is_over: bool


@dataclass(frozen=True, slots=True)
class _Unconfirmed:
    """A part of an OPEN lease of which nobody knows whether it is in the purse."""

    lease: Lease
    id: UUID
    tokens: int
    budgets: dict[str, int]
    opens: bool


@dataclass(slots=True)
class Upkeep:
    """One pass after the other; it remembers when the last one was, for the ledger's own clock."""

    limiter: Limiter
    _last: float | None = field(default=None)

    def keep(self) -> int:
        """One pass; returns how many leases were changed.

        Raises:
            StoreUnavailable: PostgreSQL did not answer, or Valkey for any of the leases; the others are done.
        """
        self._tick()
        done, failed = 0, None
        steps = [
            *((self._keep, kept) for kept in _due()),
            *((self._confirm, part) for part in _unconfirmed()),
        ]
        for step, subject in steps:
            try:
                done += step(subject)  # type: ignore[operator]
            except StoreUnavailable as error:
                failed = error
        done += self.close()
        if failed is not None:
            raise failed
        return done

    def _tick(self) -> None:
        """The first pass of a process adds nothing: how long nobody was there is not known."""
        now = time.monotonic()
        tick(0 if self._last is None else int((now - self._last) * 1000))
        self._last = now

    def _keep(self, kept: _Kept) -> bool:
        """Prolong a lease that is used, recall an idle one, doubt one whose purse is gone."""
        lease = kept.lease
        purse = own_purse(self.limiter, lease)
        if purse is None:  # A young one may be on its way; by the ledger's clock, where the other was set back.
            return (lease.age_ms >= UNCONFIRMED_MS or kept.is_over) and _doubt(lease, "purse lost")
        if purse.closed:
            return _doubt(lease, "recalled")
        if not kept.is_used and not purse.live:
            self._recall_whole(lease)
            return _doubt(lease, "idle")
        return self._prolong(lease, uuid7(), 0, {})

    def _prolong(self, lease: Lease, part: UUID, tokens: int, budgets: dict[str, int]) -> bool:
        """Give the purse another life, with a part that it may have already; PostgreSQL's row gets it first."""
        ttl_ms = settings.QUOTA_LEASE_SECONDS * 1000
        not_after = now_ms(self.limiter, shard_of(lease.account)) + GRANT_MS
        with ledger_transaction() as cursor:
            cursor.execute(_PROLONG, {"account": lease.account, "epoch": lease.epoch, "life_ms": ttl_ms + GRANT_MS})
            if not cursor.rowcount:
                return False
        reply = self.limiter.run(
            topup_call(
                PartOfLease(
                    part, lease.account, lease.generation, lease.epoch, lease.run_id, tokens, tuple(budgets.items()),
                    ttl_ms, passes_in(ttl_ms), not_after,
                )
            )
        )  # fmt: skip
        if reply.kind in {AppliedKind.OK, AppliedKind.DUP}:
            _steps.labels("prolonged").inc()
            return True
        return reply.kind is not AppliedKind.LATE and _doubt(lease, "purse lost")

    def _confirm(self, part: _Unconfirmed) -> bool:
        """Learn whether a part is in its purse. One that opened its epoch is looked for, any other is sent again."""
        lease = part.lease
        if part.opens:
            if own_purse(self.limiter, lease) is None:
                return _doubt(lease, "never granted")
        elif not self._prolong(lease, part.id, part.tokens, part.budgets):
            return False
        with ledger_transaction() as cursor:
            cursor.execute(_CONFIRM, [lease.account, part.id])
        return True

    def _recall_whole(self, lease: Lease) -> None:
        recall = Recall(
            uuid5(lease_id(lease.account, lease.epoch), "recall"), lease.account, lease.generation, lease.epoch, 0,
            close=True,
        )  # fmt: skip
        self.limiter.run(recall_call(recall))

    def close(self) -> int:
        """Close the leases in doubt that may be; returns how many were.

        The time is read before what Valkey and the spools say, so that evidence is never newer than it is taken for.
        """
        state = ledger_state()
        with connection.cursor() as cursor:
            spools = open_spools(cursor)
        expired = _in_doubt_and_expired(state.tick)
        if state.closing_frozen:
            return 0
        grace_ms = int(settings.QUOTA_CALL_SECONDS * 1000) + settings.QUOTA_SKEW_SECONDS * 1000
        closed = 0
        for lease in expired:
            purse = own_purse(self.limiter, lease)
            if purse is not None and not purse.closed:
                self._recall_whole(lease)
            mark = mark_of(self.limiter.mark(shard_of(lease.account)))
            if may_close(lease, mark, spools, in_purse=tokens_in(purse), now_tick=state.tick, grace_ms=grace_ms):
                closed += close_lease(lease)
            elif lease.journal != mark.journal and state.tick >= lease.expires_tick + grace_ms:
                watch_journal(lease, mark)
        _steps.labels("closed").inc(closed)
        return closed


def _doubt(lease: Lease, why: str) -> bool:
    changed = doubt_lease(lease.account, lease.epoch, why)
    if changed:
        _steps.labels("doubted").inc()
        log.info("lease.doubted", account=str(lease.account), epoch=lease.epoch, why=why)
    return changed


_LEASE_COLUMNS = """
lease.account_id, lease.epoch, lease.generation, lease.granted, lease.settled, lease.returned, lease.state,
(extract(epoch FROM clock_timestamp() - lease.opened_at) * 1000)::bigint, lease.run_id, lease.expires_tick,
lease.journal, lease.entry
"""


def _lease(row: Sequence[Any]) -> Lease:
    account, epoch, generation, granted, settled, returned, state, age_ms, run_id, expires_tick, journal, entry = row[
        :12
    ]
    return Lease(
        account, epoch, generation, granted, settled, returned, LeaseState(state), age_ms, 0, run_id, expires_tick,
        journal, entry,
    )  # fmt: skip


def _due() -> list[_Kept]:
    """OPEN leases that have little life left, or none: by the database's clock, or by the ledger's where that was set
    back: a use that lies ahead is none.
    """
    renew, life = settings.QUOTA_RENEW_SECONDS, settings.QUOTA_LEASE_SECONDS
    rows = _rows(_DUE, [max(life - renew, 1), renew, renew * 1000, BATCH])
    return [_Kept(_lease(row), row[12], row[13]) for row in rows]


_DUE = f"""
SELECT {_LEASE_COLUMNS},
       lease.used_at BETWEEN clock_timestamp() - %s * interval '1 second' AND clock_timestamp(),
       lease.expires_tick <= (SELECT tick FROM quotas_control)
FROM quotas_lease AS lease
WHERE lease.state = 'OPEN' AND (
    lease.expires_at < statement_timestamp() + %s * interval '1 second'
    OR lease.expires_tick < (SELECT tick FROM quotas_control) + %s
)
ORDER BY lease.expires_at LIMIT %s
"""  # noqa: S608 (no value is in it)

_PROLONG = """
UPDATE quotas_lease SET
    expires_at = clock_timestamp() + %(life_ms)s * interval '1 millisecond',
    expires_tick = (SELECT tick FROM quotas_control) + %(life_ms)s
WHERE account_id = %(account)s AND epoch = %(epoch)s AND state = 'OPEN'
"""


def _unconfirmed() -> list[_Unconfirmed]:
    rows = _rows(_UNCONFIRMED, [UNCONFIRMED_MS, MOST_PARTS_SINCE, BATCH])
    return [_Unconfirmed(_lease(row), row[12], row[13], json.loads(row[14]), row[15]) for row in rows]


_UNCONFIRMED = f"""
SELECT {_LEASE_COLUMNS}, part.id, part.tokens, part.budgets, part.opens
FROM quotas_lease_part AS part JOIN quotas_lease AS lease
     ON lease.account_id = part.account_id AND lease.epoch = part.epoch AND lease.state = 'OPEN'
WHERE NOT part.applied AND part.made_at < clock_timestamp() - %s * interval '1 millisecond'
      AND part.made_at > clock_timestamp() - interval '1 hour'
      AND (SELECT count(*) FROM quotas_lease_part AS later
           WHERE later.account_id = part.account_id AND later.made_at > part.made_at) < %s
ORDER BY part.made_at LIMIT %s
"""  # noqa: S608 (no value is in it)

_CONFIRM = "UPDATE quotas_lease_part SET applied = true WHERE account_id = %s AND id = %s"


def _in_doubt_and_expired(now_tick: int) -> list[Lease]:
    """Also tells the metrics how many are in doubt at all."""
    ((count, tokens),) = _rows(_DOUBTS, [])
    _in_doubt.set(count)
    _tokens_in_doubt.set(tokens)
    return [_lease(row) for row in _rows(_EXPIRED, [now_tick, BATCH])]


_DOUBTS = """
SELECT count(*), coalesce(sum(granted - settled - returned), 0)::bigint FROM quotas_lease WHERE state = 'DOUBT'
"""

_EXPIRED = f"""
SELECT {_LEASE_COLUMNS} FROM quotas_lease AS lease
WHERE lease.state = 'DOUBT' AND lease.expires_tick <= %s ORDER BY lease.expires_tick LIMIT %s
"""  # noqa: S608 (no value is in it)


def _rows(statement: str, parameters: Sequence[Any]) -> list[Any]:
    with ledger_transaction() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
