"""Admission by leases: one round trip to Valkey before a call leaves, and one after it has ended.

See docs/accounting.md for the protocol. This module is the calls' side of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar
from uuid import UUID

import structlog

from apps.core.errors import HoldNotFound, LeakyError, StoreUnavailable
from gateway import metrics, settings
from gateway.control_plane import (
    Admitted,
    Beat,
    ClaimEnd,
    EndedKind,
    Extended,
    ExtendedKind,
    JournalEnding,
    Order,
    Pulse,
    Refusal,
    RefusalKind,
    Settled,
    extend_call,
    heartbeat_call,
    purse_key,
    reserve_call,
    settle_call,
)
from gateway.lease_supply import Supply
from gateway.metrics import tally
from gateway.quota import DEAD, SWEPT, Demand, Ending, LimitReached, Settle, never_begun
from gateway.spool import Spool, payload_of
from gateway.valkey_cluster import Store

T = TypeVar("T")

log = structlog.get_logger("gateway.leases")

TAKE_BACK_SECONDS = (0.05, 0.5, 2.0, 10.0)
"""When a hold that may stand, and that no call will use, is tried to be ended, each after the one before."""

LACKS_TOKENS = frozenset({RefusalKind.NOLEASE, RefusalKind.LOW, RefusalKind.BUDGET})
"""Refusals that more tokens in the purse may mend."""

_MUST_STOP = {Pulse.SWEPT: SWEPT, Pulse.DEAD: DEAD}
"""A hold that Valkey has forgotten may go on: its lease is in doubt, and nobody sells its tokens before it must end."""


class LeaseQuota:
    """The backend that spends leases."""

    def __init__(self, store: Store, supply: Supply, spool: Spool, *, wait_seconds: float, tombstone_ms: int) -> None:
        self._store = store
        self._supply = supply
        self._spool = spool
        self._wait_seconds = wait_seconds
        self._tombstone_ms = tombstone_ms
        self._taking_back: set[asyncio.Task[None]] = set()

    async def admit(self, demand: Demand) -> Admitted:
        """See :class:`Quota`."""
        admitted = await self._reserve(demand)
        if isinstance(admitted, Refusal):
            admitted = await self._when_supplied(demand, admitted, self._reserve)
        try:
            self._spool.admitted(demand, admitted)
        except StoreUnavailable:  # What the spool does not have, no crash would leave a trace of.
            self._take_back(demand, admitted.epoch)
            raise
        self._supply.note(demand, admitted)
        return admitted

    async def _reserve(self, demand: Demand) -> Admitted | Refusal:
        terms, demand.generation = demand.terms, self._supply.generation
        order = Order(
            demand.hold, terms.account, demand.amount, demand.generation, terms.credential, terms.user,
            terms.token_version, demand.facts_json, tuple([budget.id for budget in demand.budgets]), terms.policy,
            demand.claim, settings.JOURNAL_LIMIT,
        )  # fmt: skip
        try:
            reply = await self._store.call_function(reserve_call(order))
        except StoreUnavailable:  # The hold may have been taken; if so, and if that can be told, it is given back.
            self._take_back(demand, 0)
            raise
        # Now, not when the ledger is asked: what the answer says of the purse and the time is this server's.
        demand.run_id = self._store.run_id_of(purse_key(terms.account))
        tally.count(metrics.RESERVES, reply.kind if isinstance(reply, Refusal) else "ok")
        return self._supply.as_heard(reply, terms.account) if isinstance(reply, Refusal) else reply

    async def extend(self, demand: Demand, tokens: int) -> None:
        """See :class:`Quota`."""
        more = replace(demand, amount=tokens)
        extended = await self._extend(more)
        if isinstance(extended, Refusal):
            extended = await self._when_supplied(more, extended, self._extend)
        if extended.kind is not ExtendedKind.OK:
            raise HoldNotFound(f"hold {demand.hold} cannot grow: it has ended, or its lease has")
        demand.amount += tokens
        self._spool.grown(demand)
        self._supply.burn(demand.terms.account, tokens)

    async def _extend(self, more: Demand) -> Extended | Refusal:
        terms = more.terms
        reply = await self._store.call_function(extend_call(terms.account, more.hold, more.amount, terms.policy))
        return self._supply.as_heard(reply, terms.account) if isinstance(reply, Refusal) else reply

    async def _when_supplied(
        self, demand: Demand, refusal: Refusal, ask: Callable[[Demand], Awaitable[T | Refusal]]
    ) -> T:
        """Fetch tokens from the ledger and ask again, for as long as that helps and the call may wait."""
        reply: T | Refusal = refusal
        try:
            async with asyncio.timeout(self._wait_seconds):
                with self._supply.wanting(demand):
                    while isinstance(reply, Refusal) and reply.kind in LACKS_TOKENS:
                        await self._supply.fetch(demand, reply)
                        reply = await ask(demand)
        except TimeoutError:
            raise StoreUnavailable("the account got no lease in time") from None
        if isinstance(reply, Refusal):
            raise LimitReached(reply)
        return reply

    def end(self, demand: Demand, admitted: Admitted, ending: Ending) -> Settle:
        """See :class:`Quota`."""
        settlement = ending.settlement
        leaving = JournalEnding(
            hold=demand.hold, account=demand.terms.account, epoch=admitted.epoch, generation=demand.generation,
            amount=demand.amount, policy=demand.terms.policy, actual=settlement.tokens, payload=payload_of(settlement),
            tombstone_ms=self._tombstone_ms, facts=demand.facts_json,
            budgets=tuple([budget.id for budget in demand.budgets]),
            claim=None if demand.claim is None else demand.claim.key, claim_end=ending.claim_end,
            before_start=ending.before_start,
        )  # fmt: skip
        self._spool.ended(leaving)
        return partial(self.send, leaving)

    async def send(self, ending: JournalEnding) -> Settled:
        """Tell Valkey how a call ended. Doing it again changes nothing.

        Raises:
            StoreUnavailable
        """
        ended = await self._store.call_function(settle_call(ending))
        self._spool.acknowledged(ending.hold, ended)
        tally.count(metrics.SETTLES, ended.kind)
        first = ended.kind in (EndedKind.SETTLED, EndedKind.CORRECTED)
        return Settled(ended.charged, max(ending.amount - ended.charged, 0), ended.absorbed, first)

    async def renew(self, live: Sequence[tuple[Demand, int]]) -> Mapping[UUID, str]:
        """See :class:`Quota`. All go out in one write."""
        self._spool.progress(live)
        beats = [self._store.call_function(heartbeat_call(_beat(demand, tokens))) for demand, tokens in live]
        answers = await asyncio.gather(*beats, return_exceptions=True)
        failure = next((answer for answer in answers if isinstance(answer, BaseException)), None)
        if failure is not None and not isinstance(failure, LeakyError):
            raise failure
        lost = {
            demand.hold: _MUST_STOP[answer]
            for (demand, _), answer in zip(live, answers, strict=True)
            if isinstance(answer, Pulse) and answer in _MUST_STOP
        }
        if failure is not None and not lost:
            raise failure
        return lost

    def _take_back(self, demand: Demand, epoch: int) -> None:
        """End a hold that no call will use, if it is there. Nobody waits for it: else the sweeper ends it."""
        task = asyncio.get_running_loop().create_task(self._release(demand, epoch))
        self._taking_back.add(task)
        task.add_done_callback(self._taking_back.discard)

    async def _release(self, demand: Demand, epoch: int) -> None:
        unused = JournalEnding(
            demand.hold, demand.terms.account, epoch, demand.generation, demand.amount, demand.terms.policy, actual=0,
            payload=payload_of(never_begun(demand)), tombstone_ms=self._tombstone_ms,
            claim=None if demand.claim is None else demand.claim.key, claim_end=ClaimEnd.FREE, before_start=True,
        )  # fmt: skip
        for delay in TAKE_BACK_SECONDS:
            await asyncio.sleep(delay)
            try:
                await self._store.call_function(settle_call(unused))
            except LeakyError:
                continue
            return
        log.warning("reservation.left_to_the_sweeper", reservation_id=str(demand.hold))

    async def close(self) -> None:
        """Let what is under way end."""
        if self._taking_back:
            await asyncio.wait(self._taking_back)
        await self._supply.close()


def _beat(demand: Demand, tokens: int) -> Beat:
    terms = demand.terms
    return Beat(demand.hold, terms.account, tokens, terms.credential, terms.user, terms.token_version)
