"""Holds of this gateway from admission to settlement: poured and reserved before a call leaves, renewed while it runs,
settled in a task that outlives its client.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from uuid import UUID

import structlog

from apps.core.errors import HoldNotFound, InsufficientBudget, StoreUnavailable
from apps.core.ids import uuid7
from apps.core.units import Usage
from gateway import errors, metrics
from gateway.control_plane import (
    Bucket,
    Budget,
    CallFacts,
    Decision,
    Hold,
    Quota,
    Settled,
    Settlement,
    account_id,
    adjust_call,
    bucket_key,
    pour_call,
)
from gateway.exchange import Exchange
from gateway.metrics import tally
from gateway.plan import Plan
from gateway.valkey import Valkey

log = structlog.get_logger("gateway.reservations")

FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 5.0


@dataclass(slots=True)
class Reservation:
    """A live hold. ``progress`` tells the tokens used so far; ``on_lost`` ends the call when the hold is gone."""

    hold: Hold
    plan: Plan
    bucket: Bucket
    key: str
    decision: Decision
    progress: Callable[[], int] = lambda: 0
    on_lost: Callable[[], None] = lambda: None
    ended: bool = False

    @property
    def id(self) -> UUID:
        """The reservation id that the caller sees."""
        return self.hold.id


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended, for the ledger and the event; see :class:`Settlement` for the words."""

    outcome: str
    usage: Usage
    usage_source: str
    status: int
    latency_ms: int
    first_byte_ms: int | None = None


class Reservations:
    """All live holds of this process."""

    def __init__(self, quota: Quota, valkey: Valkey, *, renew_seconds: float) -> None:
        self._quota = quota
        self._valkey = valkey
        self._renew_seconds = renew_seconds
        self._live: dict[UUID, Reservation] = {}
        self._settling: set[asyncio.Task[None]] = set()

    async def admit(self, exchange: Exchange, plan: Plan) -> Reservation:
        """Pour the bound into the payer's bucket, then hold it in the ledger. All or nothing.

        Raises:
            ApiError: 429 with the limit's name; 400 when the bucket can never hold the call.
            InsufficientQuota, AccountSuspended, StoreUnavailable
        """
        reservation = await self._pour(exchange, plan)
        try:
            await self._quota.reserve(reservation.hold)
        except StoreUnavailable:
            self._spawn(self._take_back_unknown(reservation))
            raise
        except InsufficientBudget as short:
            self._spawn(self._adjust(reservation, -plan.bound.tokens))
            raise errors.key_budget_exceeded(short.needed, short.budget, short.spent, short.held) from None
        except Exception:  # Refused, or a fault of ours: the ledger holds nothing, so the bucket must not either.
            self._spawn(self._adjust(reservation, -plan.bound.tokens))
            raise
        self._live[reservation.id] = reservation
        tally.live_holds += 1
        return reservation

    async def _pour(self, exchange: Exchange, plan: Plan) -> Reservation:
        payer = plan.principal
        account = account_id(payer.payer_kind, payer.payer_id, plan.provider.slug)
        bucket = Bucket(capacity=plan.tier.bucket_capacity, leak=plan.tier.leak_rate)
        key = bucket_key(account)
        call = pour_call({key: bucket}, plan.bound.tokens)
        decision = call.decode(await self._valkey.eval(call.script, call.keys, call.args))
        tally.count(metrics.BUCKET, "allowed" if decision.allowed else "blocked")
        if not decision.allowed:
            if not decision.fits_ever:
                raise errors.too_expensive(plan.bound.tokens, bucket.capacity)
            raise errors.rate_limited(decision.wait_ms, bucket.capacity)
        hold = Hold(uuid7(), account, plan.bound.tokens, _facts(exchange, plan), _budgets(plan))
        return Reservation(hold, plan, bucket, key, decision)

    def settle(self, reservation: Reservation, ending: Ending) -> None:
        """Settle in the background, once; the caller does not wait, and its client may be gone."""
        if reservation.ended:
            return
        reservation.ended = True
        self._live.pop(reservation.id, None)
        tally.live_holds -= 1
        tally.pending_settlements += 1
        self._spawn(self._settle(reservation, ending))

    async def _settle(self, reservation: Reservation, ending: Ending) -> None:
        plan = reservation.plan
        tokens = plan.cost(ending.usage)
        settlement = Settlement(
            hold=reservation.id, account=reservation.hold.account, tokens=tokens, usage=ending.usage,
            outcome=ending.outcome, usage_source=ending.usage_source, status=ending.status,
            latency_ms=ending.latency_ms, first_byte_ms=ending.first_byte_ms,
        )  # fmt: skip
        try:
            settled = await self._until_settled(settlement)
            if settled.first:
                _count(plan, ending, settled)
                await self._adjust(reservation, tokens - plan.bound.tokens)
        finally:
            tally.pending_settlements -= 1

    async def _until_settled(self, settlement: Settlement) -> Settled:
        """Try until the ledger has it. If we die before, the hold expires with the progress that it last reported."""
        delay = FIRST_RETRY_SECONDS
        while True:
            try:
                return await self._quota.settle(settlement)
            except StoreUnavailable:
                tally.count(metrics.SETTLEMENT_RETRIES)
                log.warning("settlement.retry", reservation_id=str(settlement.hold), delay_s=delay)
                await asyncio.sleep(delay)
                delay = min(2 * delay, LONGEST_RETRY_SECONDS)

    async def _take_back_unknown(self, reservation: Reservation) -> None:
        """The ledger did not answer: the hold may stand. End it if it does; expiry would, but later."""
        unused = Settlement(reservation.id, reservation.hold.account, 0, Usage(), "aborted", "none", 503, 0)
        try:
            await self._until_settled(unused)
        except HoldNotFound:
            log.info("reservation.not_taken", reservation_id=str(reservation.id))
        await self._adjust(reservation, -reservation.plan.bound.tokens)

    async def _adjust(self, reservation: Reservation, tokens: int) -> None:
        """Take the unused part of a pour out again (or pour an overrun). A lost adjustment leaks away by itself."""
        if tokens == 0:
            return
        call = adjust_call({reservation.key: reservation.bucket}, tokens)
        try:
            await self._valkey.eval(call.script, call.keys, call.args)
        except StoreUnavailable:
            log.warning("bucket.adjustment_lost", reservation_id=str(reservation.id), tokens=tokens)

    async def renew_forever(self) -> None:
        """Prolong all live holds at each interval, and end the calls whose holds are gone."""
        while True:
            await asyncio.sleep(self._renew_seconds)
            try:
                await self._renew()
            except StoreUnavailable:
                log.warning("renewal.failed", live=len(self._live))

    async def _renew(self) -> None:
        if not self._live:
            return
        progress = [(r.hold.account, r.id, r.progress()) for r in self._live.values()]
        for lost in await self._quota.renew(progress):
            if reservation := self._live.get(lost):
                log.warning("hold.lost", reservation_id=str(lost))
                reservation.on_lost()

    async def drain(self, seconds: float) -> None:
        """Wait until everything is settled, at most ``seconds``; what is left expires in the ledger."""
        if self._settling:
            await asyncio.wait(self._settling, timeout=seconds)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._settling.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._settling.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("settlement.failed", exc_info=task.exception())


def _count(plan: Plan, ending: Ending, settled: Settled) -> None:
    provider = plan.provider.slug
    tally.count(metrics.CALLS, provider, ending.outcome)
    tally.count(metrics.TOKENS, provider, plan.model.name, amount=settled.charged)
    tally.count(metrics.USAGE_SOURCE, provider, ending.usage_source)
    if settled.absorbed:
        tally.count(metrics.ABSORBED, provider, amount=settled.absorbed)


def _budgets(plan: Plan) -> tuple[Budget, ...]:
    payer = plan.principal
    return () if payer.budget is None else (Budget(payer.budget_id, payer.budget),)


def _facts(exchange: Exchange, plan: Plan) -> CallFacts:
    payer, price = plan.principal, plan.price
    return CallFacts(
        request_id=exchange.request_id, payer_kind=payer.payer_kind, payer_id=payer.payer_id, org_id=payer.org_id,
        user_id=payer.user_id, key_id=payer.key_id, provider=plan.provider.slug, model=plan.model.name,
        endpoint=plan.operation.name, streamed=plan.streamed, traceparent=exchange.trace.traceparent(),
        price_id=price.id, weights=price.weights, input_price=price.input_price,
        cached_input_price=price.cached_input_price, output_price=price.output_price, currency=price.currency,
    )  # fmt: skip
