"""Admission by a row lock in PostgreSQL: correct, slow, the oracle of the tests and the mode for emergencies.

The bucket and requests per minute are the limiter's here, too. There is no purse, which counts calls at once and keeps
idempotency keys: concurrency is not limited, and requests with such a key are refused.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from uuid import UUID

import structlog

from apps.core.errors import HoldNotFound, LeakyError, StoreUnavailable
from gateway.control_plane import Admitted, Database, Hold, Refusal, Settled, adjust_call, pour_call
from gateway.quota import SWEPT, Demand, Ending, LimitReached, Settle, never_begun
from gateway.valkey_cluster import Store

log = structlog.get_logger("gateway.row_locks")

FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 5.0


class RowLockQuota:
    """The backend that locks an account's row for every call."""

    def __init__(self, store: Store, database: Database, *, hold_ms: int) -> None:
        self._store = store
        self._database = database
        self._hold_ms = hold_ms
        self._correcting: set[asyncio.Task[None]] = set()

    async def admit(self, demand: Demand) -> Admitted:
        """See :class:`Quota`. Poured first, then held: all or nothing."""
        terms = demand.terms
        poured = await self._store.call_function(pour_call(terms.account, demand.hold, terms.policy, demand.amount))
        if isinstance(poured, Refusal):
            raise LimitReached(poured)
        try:
            await self._database.reserve(_hold_of(demand), ttl_ms=self._hold_ms)
        except StoreUnavailable:
            self._spawn(self._take_back_unknown(demand, poured))
            raise
        except Exception:  # Refused, or a fault of ours: the ledger holds nothing, so the bucket must not either.
            self._spawn(self._adjust(demand, poured, -demand.amount, before_start=True))
            raise
        return poured

    def end(self, demand: Demand, admitted: Admitted, ending: Ending) -> Settle:
        """See :class:`Quota`. A process that dies before it has settled leaves a hold that expires."""
        return partial(self._settle, demand, admitted, ending)

    async def _settle(self, demand: Demand, admitted: Admitted, ending: Ending) -> Settled:
        settled = await self._database.settle(ending.settlement)
        if settled.first:
            delta = ending.settlement.tokens - demand.amount
            await self._adjust(demand, admitted, delta, before_start=ending.before_start)
        return settled

    async def renew(self, live: Sequence[tuple[Demand, int]]) -> Mapping[UUID, str]:
        """See :class:`Quota`."""
        progress = [(demand.terms.account, demand.hold, tokens) for demand, tokens in live]
        return dict.fromkeys(await self._database.renew(progress, ttl_ms=self._hold_ms), SWEPT)

    async def _take_back_unknown(self, demand: Demand, poured: Admitted) -> None:
        """The ledger did not answer: the hold may stand. End it if it does; expiry would, but later."""
        delay = FIRST_RETRY_SECONDS
        while True:
            try:
                await self._database.settle(never_begun(demand))
                break
            except HoldNotFound:
                log.info("reservation.not_taken", reservation_id=str(demand.hold))
                break
            except StoreUnavailable:
                await asyncio.sleep(delay)
                delay = min(2 * delay, LONGEST_RETRY_SECONDS)
        await self._adjust(demand, poured, -demand.amount, before_start=True)

    async def _adjust(self, demand: Demand, poured: Admitted, tokens: int, *, before_start: bool) -> None:
        """Take the unused part of a pour out again (or pour an overrun). A lost adjustment leaks away by itself."""
        if tokens == 0:
            return
        terms = demand.terms
        call = adjust_call(
            terms.account, demand.hold, terms.policy, tokens, poured_ms=poured.poured_ms, before_start=before_start
        )
        try:
            await self._store.call_function(call)
        except LeakyError:
            log.warning("bucket.adjustment_lost", reservation_id=str(demand.hold), tokens=tokens)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._correcting.add(task)
        task.add_done_callback(self._correcting.discard)

    async def close(self) -> None:
        """Let what is under way end."""
        if self._correcting:
            await asyncio.wait(self._correcting)


def _hold_of(demand: Demand) -> Hold:
    terms = demand.terms
    return Hold(
        demand.hold, terms.account, demand.amount, demand.facts, demand.budgets,
        tier=terms.tier.name, allowances=terms.tier.allowances, quota_cap=terms.tier.quota_cap,
    )  # fmt: skip
