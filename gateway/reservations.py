"""Reservations of this process, from admission to settlement: taken before a call leaves, renewed while it runs,
settled in a task that outlives its client.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import structlog

from apps.core.errors import (
    AccountSuspended,
    HoldNotFound,
    InsufficientBudget,
    InsufficientQuota,
    LeakyError,
    StoreUnavailable,
)
from gateway import errors, metrics
from gateway.authentication import subjects_of
from gateway.control_plane import Admitted, ClaimEnd, Decision, RefusalKind, Settled, Settlement
from gateway.exchange import Exchange
from gateway.idempotency import Answers, Attempt
from gateway.metrics import tally
from gateway.plan import Plan
from gateway.quota import Demand, Ending, LimitReached, Quota, Settle
from gateway.refusals import Refusals
from gateway.terms import TermsBook, answer_to, answer_to_shortage, demand_of

log = structlog.get_logger("gateway.reservations")

FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 5.0


class Running(Protocol):
    """A call under way, as its reservation knows it."""

    @property
    def exchange(self) -> Exchange:
        """Whose call it is."""

    def progress(self) -> int:
        """Tokens that it has come to so far."""

    def cut(self, reason: str) -> None:
        """End it."""


@dataclass(slots=True)
class Reservation:
    """A live hold. ``call`` is who uses it, until it ends and no longer: objects in a ring are dear to free."""

    demand: Demand
    plan: Plan
    admitted: Admitted
    attempt: Attempt | None = None
    call: Running | None = None
    ended: bool = False

    @property
    def id(self) -> UUID:
        """The reservation id that the caller sees."""
        return self.demand.hold

    @property
    def decision(self) -> Decision:
        """What the bucket said."""
        return self.admitted.decision


class AnsweredBefore(LeakyError):
    """The request was carried out before, under the same idempotency key, and its answer was kept."""

    code = "answered_before"

    def __init__(self, account: UUID, attempt: Attempt) -> None:
        super().__init__(attempt.key)
        self.account, self.attempt = account, attempt


class Reservations:
    """All live holds of this process."""

    def __init__(self, quota: Quota, refusals: Refusals, answers: Answers, *, renew_seconds: float) -> None:
        self._quota = quota
        self._refusals = refusals
        self._answers = answers
        self._renew_seconds = renew_seconds
        self._terms = TermsBook()
        self._live: dict[UUID, Reservation] = {}
        self._settling: set[asyncio.Task[None]] = set()

    async def admit(self, exchange: Exchange, plan: Plan, attempt: Attempt | None = None) -> Reservation:
        """Ask all limits at once, and hold the bound. All or nothing.

        Raises:
            ApiError: a limit's refusal, which says which one and when it would pass.
            AnsweredBefore
            StoreUnavailable
        """
        demand = demand_of(exchange, plan, self._terms.of(plan), attempt)
        try:
            admitted = await self._quota.admit(demand)
        except (LimitReached, InsufficientQuota, InsufficientBudget) as refused:
            raise self._refusal(exchange, plan, demand, attempt, refused) from None
        except AccountSuspended:
            raise errors.suspended() from None
        reservation = self._live[demand.hold] = Reservation(demand, plan, admitted, attempt)
        tally.live_holds += 1
        return reservation

    def _refusal(
        self, exchange: Exchange, plan: Plan, demand: Demand, attempt: Attempt | None,
        refused: LimitReached | InsufficientQuota | InsufficientBudget,
    ) -> Exception:  # fmt: skip
        if not isinstance(refused, LimitReached):
            answer = answer_to_shortage(refused, demand)
        elif attempt is not None and refused.refusal.kind is RefusalKind.REPLAY and refused.refusal.stored:
            return AnsweredBefore(demand.terms.account, attempt)
        else:
            answer = answer_to(refused.refusal, demand)
        if answer.limit is not None:
            self._refusals.add(exchange, plan, demand.terms.account, answer)
        return answer

    async def grow(self, reservation: Reservation, tokens: int) -> bool:
        """Hold so many more tokens for a call under way; whether they are held now.

        Where the bucket has no room for them yet, they are waited for, as long as a call of the tier may wait. Where
        the account has fewer, those are held.
        """
        try:
            await self._extend(reservation, tokens)
        except LeakyError as error:
            reason = error.refusal.kind if isinstance(error, LimitReached) else error.code
            tally.count(metrics.GROWTHS, reason)
            log.info("hold.not_grown", reservation_id=str(reservation.id), tokens=tokens, reason=reason)
            return False
        tally.count(metrics.GROWTHS, "grown")
        return True

    async def _extend(self, reservation: Reservation, tokens: int) -> None:
        patience_ms = reservation.plan.tier.max_wait_ms
        while True:
            try:
                return await self._quota.extend(reservation.demand, tokens)
            except LimitReached as limit:
                patience_ms -= limit.refusal.wait_ms
                if limit.refusal.kind is not RefusalKind.FULL or patience_ms < 0:
                    raise
                await asyncio.sleep(limit.refusal.wait_ms / 1000)
            except InsufficientQuota as short:
                if not 0 < short.available < tokens:
                    raise
                tokens = short.available

    def settle(self, reservation: Reservation, ending: Ending, answer: bytes | None = None) -> None:
        """Settle in the background, once; the caller does not wait, and its client may be gone.

        ``answer`` is what was sent, where an idempotency key may ask for it again.
        """
        if reservation.ended:
            return
        reservation.ended, reservation.call = True, None
        self._live.pop(reservation.id, None)
        tally.live_holds -= 1
        tally.pending_settlements += 1
        settle = self._quota.end(reservation.demand, reservation.admitted, ending)
        self._spawn(self._settle(reservation, ending.settlement, settle, answer))

    async def _settle(
        self, reservation: Reservation, settlement: Settlement, settle: Settle, answer: bytes | None
    ) -> None:
        try:
            if answer is not None and reservation.attempt is not None:
                account = reservation.demand.terms.account
                await self._answers.keep(account, reservation.attempt, reservation.id, answer)
            settled = await _until_settled(reservation.id, settle)
            if settled is not None and settled.first:
                _count(reservation.plan, settlement, settled)
        finally:
            tally.pending_settlements -= 1

    def claim_end(self, reservation: Reservation, answer: bytes | None) -> ClaimEnd:
        """What becomes of the idempotency key of a call that has cost something."""
        kept = answer is not None and reservation.attempt is not None and self._answers.keeps(answer)
        return ClaimEnd.STORED if kept else ClaimEnd.DONE

    async def renew_forever(self) -> None:
        """Say at each interval that the calls live and what they have come to, and end those that must not go on."""
        while True:
            await asyncio.sleep(self._renew_seconds)
            try:
                await self._renew()
            except StoreUnavailable:
                log.warning("renewal.failed", live=len(self._live))

    async def _renew(self) -> None:
        calls = [(r.demand, r.call.progress() if r.call is not None else 0) for r in self._live.values()]
        if not calls:
            return
        for hold, reason in (await self._quota.renew(calls)).items():
            log.warning("hold.lost", reservation_id=str(hold), reason=reason)
            self._cut(self._live.get(hold), reason)

    def look_again(
        self, subjects: Collection[str] | None, recheck: Callable[[Exchange], Awaitable[object]], reason: str
    ) -> None:
        """Something has changed about these subjects (None: everybody): calls whose credential is dead now are cut."""
        for reservation in list(self._live.values()):
            if reservation.call is None:
                continue
            if subjects is None or not set(subjects_of(reservation.plan.principal)).isdisjoint(subjects):
                self._spawn(self._recheck(reservation, recheck, reason))

    async def _recheck(
        self, reservation: Reservation, recheck: Callable[[Exchange], Awaitable[object]], reason: str
    ) -> None:
        call = reservation.call
        if call is None:
            return
        try:
            await recheck(call.exchange)
        except StoreUnavailable:
            log.warning("credential.not_rechecked", reservation_id=str(reservation.id))
        except errors.ApiError:
            log.info("credential.died", reservation_id=str(reservation.id), key_id=reservation.plan.principal.key_id)
            self._cut(reservation, reason)

    @staticmethod
    def _cut(reservation: Reservation | None, reason: str) -> None:
        if reservation is not None and reservation.call is not None:
            reservation.call.cut(reason)

    async def journal_refusals_forever(self, seconds: float) -> None:
        """Write the counts of refused calls to the journal, again and again."""
        while True:
            await asyncio.sleep(seconds)
            await self._refusals.journal()

    async def drain(self, seconds: float) -> None:
        """Wait until everything is settled, at most ``seconds``; what is left is settled by others."""
        if self._settling:
            await asyncio.wait(self._settling, timeout=seconds)
        await self._refusals.journal()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._settling.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._settling.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("settlement.failed", exc_info=task.exception())


async def _until_settled(hold: UUID, settle: Settle) -> Settled | None:
    """Try until it is settled; None when there is no such hold. If we die before, others settle it, or it expires."""
    delay = FIRST_RETRY_SECONDS
    while True:
        try:
            return await settle()
        except HoldNotFound:
            log.warning("settlement.unknown_hold", reservation_id=str(hold))
            return None
        except StoreUnavailable:
            tally.count(metrics.SETTLEMENT_RETRIES)
            log.warning("settlement.retry", reservation_id=str(hold), delay_s=delay)
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_RETRY_SECONDS)


def _count(plan: Plan, settlement: Settlement, settled: Settled) -> None:
    provider = plan.provider.slug
    tally.count(metrics.CALLS, provider, settlement.outcome)
    tally.count(metrics.TOKENS, provider, plan.model.name, amount=settled.charged)
    tally.count(metrics.USAGE_SOURCE, provider, settlement.usage_source)
    if settled.absorbed:
        tally.count(metrics.ABSORBED, provider, amount=settled.absorbed)
