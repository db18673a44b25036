"""Upkeep of leases: those that are used live on, idle ones are recalled, those in doubt are closed when their time
has come.

Passes of a loop; the leases of a shard are a step, and every step may be repeated: the process can die after any line.
What PostgreSQL says is always committed before Valkey is told to do what it allows.
"""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any, TypeVar
from uuid import UUID, uuid5

import structlog
from django.conf import settings
from django.db import connection
from prometheus_client import Counter, Gauge

from apps.core.errors import StoreUnavailable
from apps.core.ids import uuid7
from apps.limiter.api import AppliedKind, Limiter, PartOfLease, Purse, Recall, recall_call, shard_of, topup_call
from apps.quotas.batch import LeaseKey
from apps.quotas.closing import close_leases, doubt_leases, watch_journal
from apps.quotas.control import ledger_state, tick
from apps.quotas.leases import GRANT_MS, Lease, LeaseState, SpoolReport, lease_id, may_close
from apps.quotas.leasing import passes_in
from apps.quotas.spools import open_spools
from apps.quotas.store import mark_of, now_ms, own_purses, tokens_in
from apps.quotas.transactions import ledger_transaction

BATCH = 2000
"""Leases of each kind that one pass looks at."""

UNCONFIRMED_MS = 2 * GRANT_MS
"""After this time a part that nobody has confirmed is sent again, if it may be."""

AT_ONCE = 250
"""Leases of a shard that one step looks after."""

USED, IDLE, RECALLED, LOST = "used", "idle", "recalled", "purse lost"
"""What is found of an OPEN lease that is due."""

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
class _Part:
    """A part of an OPEN lease that its purse may have already; of 0 tokens: it only prolongs."""

    lease: Lease
    id: UUID
    tokens: int = 0
    budgets: dict[str, int] = field(default_factory=dict)
    opens: bool = False


S = TypeVar("S")


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
        for step in chain(self._keepings(), self._closings()):
            try:
                done += step()
            except StoreUnavailable as error:
                failed = error
        if failed is not None:
            raise failed
        return done

    def _keepings(self) -> Iterator[Callable[[], int]]:
        """What there is to do about OPEN leases, a shard at a time."""
        for kept in _by_shard(_due(), lambda kept: kept.lease):
            yield partial(self._keep, kept)
        for parts in _by_shard(_unconfirmed(), lambda part: part.lease):
            yield partial(self._confirm, parts)

    def _tick(self) -> None:
        """The first pass of a process adds nothing: how long nobody was there is not known."""
        now = time.monotonic()
        tick(0 if self._last is None else int((now - self._last) * 1000))
        self._last = now

    def _keep(self, kept: Sequence[_Kept]) -> int:
        """Of the leases of a shard, prolong those that are used, recall the idle ones, doubt those that are gone."""
        leases: dict[str, list[Lease]] = defaultdict(list)
        for one, purse in zip(kept, own_purses(self.limiter, [one.lease for one in kept]), strict=True):
            leases[_fate(one, purse)].append(one.lease)
        self._recall_whole(leases[IDLE])
        done = sum(len(_doubt(leases[why], why)) for why in (LOST, RECALLED, IDLE))
        return done + len(self._prolong([_Part(lease, uuid7()) for lease in leases[USED]]))

    def _prolong(self, parts: Sequence[_Part]) -> list[_Part]:
        """Give the purses of a shard another life, each with a part that it may have already; PostgreSQL's rows get it
        first. Returns the parts of which it is known now what became of them.
        """
        if not parts:
            return []
        not_after = now_ms(self.limiter, shard_of(parts[0].lease.account)) + GRANT_MS
        still_open = _prolonged([part.lease for part in parts])
        sent = [part for part in parts if (part.lease.account, part.lease.epoch) in still_open]
        replies = self.limiter.run_all([topup_call(_leaving(part, not_after)) for part in sent])
        kinds = [reply.kind for reply in replies]
        applied = [part for part, kind in zip(sent, kinds, strict=True) if kind in _APPLIED]
        _steps.labels("prolonged").inc(len(applied))
        # The others never will be, and their leases are doubted. One that came too late says nothing.
        lost = [part for part, kind in zip(sent, kinds, strict=True) if kind not in {*_APPLIED, AppliedKind.LATE}]
        doubted = _doubt([part.lease for part in lost], LOST)
        return [*applied, *(part for part in lost if _key(part.lease) in doubted)]

    def _confirm(self, parts: Sequence[_Part]) -> int:
        """Learn whether parts are in their purses. One that opened its epoch is looked for, any other is sent again."""
        opening = [part for part in parts if part.opens]
        found = own_purses(self.limiter, [part.lease for part in opening]) if opening else []
        lost = [part for part, purse in zip(opening, found, strict=True) if purse is None]
        doubted = len(_doubt([part.lease for part in lost], "never granted"))
        known = self._prolong([part for part in parts if not part.opens])
        known += [part for part, purse in zip(opening, found, strict=True) if purse is not None]
        with ledger_transaction() as cursor:
            cursor.execute(_CONFIRM, [[part.id for part in known]])
        return doubted + len(known)

    def _recall_whole(self, leases: Sequence[Lease]) -> None:
        self.limiter.run_all([recall_call(_whole(lease)) for lease in leases])

    def _closings(self) -> Iterator[Callable[[], int]]:
        """What there is to do about leases in doubt, a shard at a time.

        The time is read before what Valkey and the spools say, so that evidence is never newer than it is taken for.
        """
        state = ledger_state()
        with connection.cursor() as cursor:
            spools = open_spools(cursor)
        expired = _in_doubt_and_expired(state.tick)
        if not state.closing_frozen:
            for leases in _by_shard(expired, lambda lease: lease):
                yield partial(self._close, leases, state.tick, spools)

    def _close(self, leases: Sequence[Lease], tick: int, spools: Sequence[SpoolReport]) -> int:
        """Close those of a shard's leases in doubt that may be; returns how many were."""
        purses = own_purses(self.limiter, leases)
        found = list(zip(leases, purses, strict=True))
        self._recall_whole([lease for lease, purse in found if purse is not None and not purse.closed])
        mark = mark_of(self.limiter.mark(shard_of(leases[0].account)))
        grace_ms = int(settings.QUOTA_CALL_SECONDS * 1000) + settings.QUOTA_SKEW_SECONDS * 1000

        def may_be(lease: Lease, purse: Purse | None) -> bool:
            return may_close(lease, mark, spools, in_purse=tokens_in(purse), now_tick=tick, grace_ms=grace_ms)

        ripe = [lease for lease, purse in found if may_be(lease, purse)]
        closed = close_leases(ripe)
        late = [lease for lease in leases if lease.journal != mark.journal and tick >= lease.expires_tick + grace_ms]
        watch_journal([lease for lease in late if lease not in ripe], mark)
        _steps.labels("closed").inc(closed)
        return closed


def _fate(kept: _Kept, purse: Purse | None) -> str:
    """What becomes of an OPEN lease that is due. A young one without a purse may be on its way: it stays."""
    if purse is None:  # By the ledger's clock, too, where the other was set back.
        return LOST if kept.lease.age_ms >= UNCONFIRMED_MS or kept.is_over else ""
    if purse.closed:
        return RECALLED
    return USED if kept.is_used or purse.live else IDLE


def _whole(lease: Lease) -> Recall:
    id_of_it = uuid5(lease_id(lease.account, lease.epoch), "recall")
    return Recall(id_of_it, lease.account, lease.generation, lease.epoch, 0, close=True)


def _by_shard(subjects: Iterable[S], lease_of: Callable[[S], Lease]) -> Iterator[list[S]]:
    """Those of a shard are looked after together: one server has them, and where it is away the others are done.

    Not too many at once: what is done about them in PostgreSQL locks their accounts.
    """
    shards: dict[int, list[S]] = {}
    for subject in subjects:
        shards.setdefault(shard_of(lease_of(subject).account), []).append(subject)
    for of_shard in shards.values():
        for start in range(0, len(of_shard), AT_ONCE):
            yield of_shard[start : start + AT_ONCE]


def _prolonged(leases: Sequence[Lease]) -> set[tuple[UUID, int]]:
    """Prolong rows; which of them are OPEN. Locked in the order in which the drainer locks them."""
    with ledger_transaction() as cursor:
        cursor.execute(
            _PROLONG,
            {
                "accounts": [lease.account for lease in leases], "epochs": [lease.epoch for lease in leases],
                "life_ms": settings.QUOTA_LEASE_SECONDS * 1000 + GRANT_MS,
            },
        )  # fmt: skip
        return set(cursor.fetchall())


def _leaving(part: _Part, not_after_ms: int) -> PartOfLease:
    lease, ttl_ms = part.lease, settings.QUOTA_LEASE_SECONDS * 1000
    return PartOfLease(
        part.id, lease.account, lease.generation, lease.epoch, lease.run_id, part.tokens, tuple(part.budgets.items()),
        ttl_ms, passes_in(ttl_ms), not_after_ms,
    )  # fmt: skip


_APPLIED = {AppliedKind.OK, AppliedKind.DUP}


def _key(lease: Lease) -> LeaseKey:
    return lease.account, lease.epoch


def _doubt(leases: Iterable[Lease], why: str) -> set[LeaseKey]:
    """Put leases in doubt; which of them were not yet."""
    doubted = doubt_leases([_key(lease) for lease in leases], why)
    _steps.labels("doubted").inc(len(doubted))
    for account, epoch in doubted:
        log.info("lease.doubted", account=str(account), epoch=epoch, why=why)
    return doubted


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
WITH due AS (
    SELECT lease.account_id, lease.epoch
    FROM quotas_lease AS lease JOIN unnest(%(accounts)s::uuid[], %(epochs)s::bigint[]) AS named (account_id, epoch)
         ON lease.account_id = named.account_id AND lease.epoch = named.epoch
    WHERE lease.state = 'OPEN'
    ORDER BY lease.account_id, lease.epoch FOR UPDATE OF lease
)
UPDATE quotas_lease AS lease SET
    expires_at = clock_timestamp() + %(life_ms)s * interval '1 millisecond',
    expires_tick = (SELECT tick FROM quotas_control) + %(life_ms)s
FROM due WHERE lease.account_id = due.account_id AND lease.epoch = due.epoch
RETURNING lease.account_id, lease.epoch
"""


def _unconfirmed() -> list[_Part]:
    rows = _rows(_UNCONFIRMED, [UNCONFIRMED_MS, MOST_PARTS_SINCE, BATCH])
    return [_Part(_lease(row), row[12], row[13], json.loads(row[14]), row[15]) for row in rows]


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

_CONFIRM = "UPDATE quotas_lease_part SET applied = true WHERE id = ANY(%s)"


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
