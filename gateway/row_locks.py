"""Admission by a row lock in PostgreSQL: correct, slow, the oracle of the tests and the mode for emergencies.

The bucket and requests per minute are the limiter's here, too, and idempotency keys are claimed by plain commands.
Calls at once are not limited: a count in PostgreSQL would be its own bottleneck.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

import structlog

from apps.core.errors import HoldNotFound, LeakyError, StoreUnavailable
from gateway.control_plane import (
    Admitted,
    Claim,
    ClaimEnd,
    Database,
    Hold,
    Mode,
    Refusal,
    RefusalKind,
    Settled,
    adjust_call,
    pour_call,
    shard_of,
    tag_of,
)
from gateway.quota import SWEPT, Demand, Ending, LimitReached, Settle, never_begun
from gateway.valkey_cluster import Store

log = structlog.get_logger("gateway.row_locks")

RUNNING = "running"
FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 5.0


class RowLockQuota:
    """The backend that locks an account's row for every call."""

    def __init__(self, store: Store, database: Database, *, hold_ms: int, running_ms: int = 1_000_000) -> None:
        """``hold_ms`` is a hold's life between renewals; after ``running_ms`` no call that claimed a key can run."""
        self._store = store
        self._database = database
        self._hold_ms = hold_ms
        self._running_ms = running_ms
        self._correcting: set[asyncio.Task[None]] = set()

    async def admit(self, demand: Demand) -> Admitted:
        """See :class:`Quota`. Poured first, then held: all or nothing."""
        terms = demand.terms
        if demand.claim is not None:
            await self._claim(demand, demand.claim)
        poured = await self._store.call_function(pour_call(terms.account, demand.hold, terms.policy, demand.amount))
        if isinstance(poured, Refusal):
            await self._end_claim(demand, ClaimEnd.FREE)
            raise LimitReached(poured)
        try:
            await self._database.reserve(_hold_of(demand), ttl_ms=self._hold_ms)
        except StoreUnavailable:
            self._spawn(self._take_back_unknown(demand, poured))
            raise
        except Exception:  # Refused, or a fault of ours: the ledger holds nothing, so the bucket must not either.
            self._spawn(self._adjust(demand, poured, -demand.amount, before_start=True))
            await self._end_claim(demand, ClaimEnd.FREE)
            raise
        return poured

    async def extend(self, demand: Demand, tokens: int) -> None:
        """See :class:`Quota`. Poured first, then held, as at first; it is no new request, and waits for no place."""
        terms = demand.terms
        policy = replace(terms.policy, mode=Mode.POLICE, requests_per_minute=None)
        poured = await self._store.call_function(pour_call(terms.account, demand.hold, policy, tokens))
        if isinstance(poured, Refusal):
            raise LimitReached(poured)
        try:
            await self._database.extend(_hold_of(demand), tokens)
        except LeakyError:
            self._spawn(self._adjust(demand, poured, -tokens, before_start=False))
            raise
        demand.amount += tokens

    async def _claim(self, demand: Demand, claim: Claim) -> None:
        """Claim an idempotency key by one command. One that dies leaves it claimed until no call can run any more.

        Raises:
            LimitReached: another attempt has it.
        """
        wanted = f"{claim.fingerprint} {RUNNING} {demand.hold}"
        key = _claim_key(demand, claim)
        kept = await self._store.call("SET", key, wanted, "NX", "GET", "PX", self._running_ms)
        if not isinstance(kept, bytes):
            return
        fingerprint, state, hold = kept.decode().split(" ")
        kind = RefusalKind.RUNNING if state == RUNNING else RefusalKind.REPLAY
        if fingerprint != claim.fingerprint:
            kind = RefusalKind.MISMATCH
        raise LimitReached(Refusal(kind, 0, hold=UUID(hold), stored=state == ClaimEnd.STORED))

    async def _end_claim(self, demand: Demand, end: ClaimEnd) -> None:
        """What becomes of a claim. If Valkey does not hear it, the key stays claimed: refused, never run twice."""
        if (claim := demand.claim) is None:
            return
        key = _claim_key(demand, claim)
        try:
            if end is ClaimEnd.FREE:
                await self._store.call("DEL", key)
            else:
                await self._store.call("SET", key, f"{claim.fingerprint} {end} {demand.hold}", "PX", claim.ttl_ms)
        except LeakyError:
            log.warning("claim.not_ended", reservation_id=str(demand.hold))

    def end(self, demand: Demand, admitted: Admitted, ending: Ending) -> Settle:
        """See :class:`Quota`. A process that dies before it has settled leaves a hold that expires."""
        return partial(self._settle, demand, admitted, ending)

    async def _settle(self, demand: Demand, admitted: Admitted, ending: Ending) -> Settled:
        settled = await self._database.settle(ending.settlement)
        await self._end_claim(demand, ending.claim_end)
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
        await self._end_claim(demand, ClaimEnd.FREE)
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


def _claim_key(demand: Demand, claim: Claim) -> str:
    return f"{tag_of(shard_of(demand.terms.account))}:claim:{demand.terms.account}:{claim.key}"


def _hold_of(demand: Demand) -> Hold:
    terms = demand.terms
    return Hold(
        demand.hold, terms.account, demand.amount, demand.facts, demand.budgets,
        tier=terms.tier.name, allowances=terms.tier.allowances, quota_cap=terms.tier.quota_cap,
    )  # fmt: skip
