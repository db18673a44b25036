"""Tokens for purses that lack them: asked of the ledger, and put into the purse by the limiter's functions.

An account is asked for by one request of this process at a time; who comes meanwhile waits for it, and then reserves
again. PostgreSQL is not on a call's way otherwise: purses are topped up beside the calls, when half of the last part is
gone.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import structlog

from apps.core.errors import InsufficientBudget, InsufficientQuota, LeakyError, StoreUnavailable
from apps.core.units import MAX_TOKENS
from gateway import metrics, settings
from gateway.control_plane import (
    GRANT_MS,
    Admitted,
    AppliedKind,
    Database,
    LookAgain,
    Need,
    Part,
    PartOfLease,
    Refusal,
    RefusalKind,
    grant_call,
    purse_key,
    topup_call,
)
from gateway.metrics import tally
from gateway.quota import Demand
from gateway.valkey_cluster import Store

if TYPE_CHECKING:
    from uuid import UUID

log = structlog.get_logger("gateway.leases")

LOOK_AGAIN_SECONDS = 0.02
AWAY_SECONDS = 0.5
"""After the ledger did not answer, nobody asks it for so long: they are told at once."""

QUIET_SECONDS = 5.0
"""After an account had nothing more to give to a purse that was getting low, it is not asked beside the calls."""

MINUTE_SECONDS = 60.0
REMEMBERED = 65_536
"""Accounts whose burn is remembered, about."""


@dataclass(slots=True)
class Burn:
    """An account's tokens of the last minute: of the present one, and of the one before as far as it still counts.

    ``epoch`` is the latest in which a call of this process was admitted: a purse that is gone was there.
    """

    began: float
    epoch: int = 0
    tokens: int = 0
    before: int = 0

    def add(self, tokens: int, now: float) -> None:
        """Count a hold."""
        self._turn(now)
        self.tokens += tokens

    def expected(self, seconds: float, now: float) -> int:
        """Tokens that go in so many seconds at the rate of the last minute, about."""
        self._turn(now)
        last_minute = self.tokens + self.before * (1 - (now - self.began) / MINUTE_SECONDS)
        return int(last_minute * seconds / MINUTE_SECONDS)

    def _turn(self, now: float) -> None:
        elapsed = now - self.began
        if elapsed >= MINUTE_SECONDS:
            self.before = self.tokens if elapsed < 2 * MINUTE_SECONDS else 0
            self.tokens, self.began = 0, now


@dataclass(slots=True)
class _Asked:
    """A request to the ledger under way, and for which call. Its refusal holds for whoever needs as much."""

    demand: Demand
    done: asyncio.Event = field(default_factory=asyncio.Event)
    error: LeakyError | None = None
    looks_again: bool = False


class Supply:
    """What this process asks the ledger for."""

    def __init__(self, database: Database, store: Store, introduce: Callable[[], Awaitable[None]]) -> None:
        """``introduce`` makes this process's spool known to the ledger; it raises StoreUnavailable."""
        self._database = database
        self._store = store
        self._introduce = introduce
        self.generation = 1
        """The ledger's, as far as known: purses of another one are void. Whoever has an old one is told the new one."""
        self._asked: dict[UUID, _Asked] = {}
        self._wanted: dict[UUID, int] = {}
        self._burns: dict[UUID, Burn] = {}
        self._quiet_until: dict[UUID, float] = {}
        self._away_until = 0.0
        self._asking: set[asyncio.Task[None]] = set()

    async def adopt(self, generation: int) -> None:
        """Spend purses of this generation from now on, if it is a later one.

        A ledger that was restored may not know our spool any more, and would not wait for it: it is told first.

        Raises:
            StoreUnavailable: it could not be told.
        """
        if generation > self.generation:
            await self._introduce()
            self.generation = max(self.generation, generation)

    def adopt_soon(self, generation: int) -> None:
        """The same in the background. If it fails, whoever asks for a lease next learns of it again."""
        if generation > self.generation:
            self._spawn(self._try_to_adopt(generation))

    async def _try_to_adopt(self, generation: int) -> None:
        try:
            await self.adopt(generation)
        except StoreUnavailable:
            log.warning("ledger.generation_not_adopted", generation=generation)

    @contextmanager
    def wanting(self, demand: Demand) -> Iterator[None]:
        """While it is open, the call waits for tokens: whoever asks for its account asks for it, too."""
        account = demand.terms.account
        self._wanted[account] = self._wanted.get(account, 0) + demand.amount
        try:
            yield
        finally:
            self._wanted[account] -= demand.amount
            if not self._wanted[account]:
                del self._wanted[account]

    def as_heard(self, refusal: Refusal, account: "UUID") -> Refusal:
        """A refusal with the epoch that was the latest when it was heard: where there is no purse, that one is gone.

        Asked later, this process may know of an epoch that had not begun, and would tell the ledger that it is lost.
        """
        burn = self._burns.get(account)
        return refusal if refusal.epoch or burn is None else replace(refusal, epoch=burn.epoch)

    async def fetch(self, demand: Demand, refusal: Refusal) -> None:
        """Return when it is worth to reserve again: there may be more in the purse now.

        Raises:
            InsufficientQuota, InsufficientBudget, AccountSuspended: the ledger has no more.
            StoreUnavailable: it does not answer, or what is missing comes back later.
        """
        asked = self._asked.get(demand.terms.account) or self._ask_soon(demand, refusal)
        await asked.done.wait()
        if asked.looks_again:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        if asked.error is not None and _is_told_by(asked.demand, demand):
            raise _as_told_to(demand, asked.error)

    def note(self, demand: Demand, admitted: Admitted) -> None:
        """A call was admitted: count it, and top its purse up when that is getting low."""
        account = demand.terms.account
        now = self.burn(account, demand.amount)
        self._burns[account].epoch = admitted.epoch
        if admitted.low and account not in self._asked and now >= self._quiet_until.get(account, 0.0):
            # A purse that cannot be filled is not asked for at every call: PostgreSQL is on no call's way.
            self._quiet_until[account] = now + QUIET_SECONDS
            tally.count(metrics.TOP_UPS)
            self._ask_soon(demand, _as_refusal(admitted))

    def burn(self, account: "UUID", tokens: int) -> float:
        """Count tokens that went into a hold; returns the time as of which."""
        now = time.monotonic()
        burn = self._burns.get(account)
        if burn is None:
            self._keep_small()
            burn = self._burns[account] = Burn(now)
        burn.add(tokens, now)
        return now

    def _ask_soon(self, demand: Demand, saw: Refusal) -> _Asked:
        """Ask, in a task: whoever waits may go, and what was given must reach its purse all the same."""
        asked = self._asked[demand.terms.account] = _Asked(demand)
        self._spawn(self._ask(asked, saw))
        return asked

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask(self, asked: _Asked, saw: Refusal) -> None:
        account = asked.demand.terms.account
        try:
            answer = await self._ensure(asked.demand, saw)
            if isinstance(answer, LookAgain):
                asked.looks_again = True
                await self.adopt(answer.generation)
            else:
                await self._apply(answer, saw.now_ms)
        except LeakyError as error:
            asked.error = error
        except Exception:  # A fault of ours: whoever waits is told that nothing can be promised.
            log.exception("lease.failed", account=str(account))
            asked.error = StoreUnavailable("the ledger could not be asked")
        finally:
            del self._asked[account]
            asked.done.set()

    async def _ensure(self, demand: Demand, saw: Refusal) -> Part | LookAgain:
        """For all who wait, else as far as the account goes, else for the one. A budget is only some callers' own."""
        need = self._need(demand, saw, await self._granted_in_purse(saw, demand.terms.account))
        together = self._wanted.get(demand.terms.account, 0)
        while together > need.amount and not need.budgets:
            try:
                return await self._ensure_once(replace(need, amount=together))
            except InsufficientQuota as short:  # Not enough for all, which says nothing about this one.
                together = min(short.available, together - 1)
            except StoreUnavailable as error:
                if error.__cause__ is not None:
                    raise
                break  # A part of what all need is being recovered.
        return await self._ensure_once(need)

    async def _ensure_once(self, need: Need) -> Part | LookAgain:
        if time.monotonic() < self._away_until:
            raise StoreUnavailable("the ledger did not answer a moment ago")
        try:
            answer = await self._database.ensure_lease(need)
        except LeakyError as error:
            tally.count(metrics.LEASES, error.code)
            if isinstance(error, StoreUnavailable) and error.__cause__ is not None:  # Away, not "comes back later".
                self._away_until = time.monotonic() + AWAY_SECONDS
            raise
        tally.count(metrics.LEASES, "look_again" if isinstance(answer, LookAgain) else _kind(answer))
        return answer

    async def _apply(self, part: Part, now_ms: int) -> None:
        """Put a part into its purse. A grant is sent once: to repeat it after a loss would sell it twice."""
        leaving = PartOfLease(
            id=part.id, account=part.account, generation=part.generation, epoch=part.epoch, run_id=part.run_id,
            amount=part.amount, budgets=tuple(part.budgets.items()), ttl_ms=part.ttl_ms, passes=part.passes,
            not_after_ms=now_ms + GRANT_MS,
        )  # fmt: skip
        applied = await self._store.call_function(grant_call(leaving) if part.opens else topup_call(leaving))
        tally.count(metrics.PARTS, _kind(part), str(applied.kind))
        if applied.kind is AppliedKind.OK:
            self._quiet_until.pop(part.account, None)
        else:
            log.warning("lease.part_not_applied", account=str(part.account), epoch=part.epoch, why=str(applied.kind))

    async def _granted_in_purse(self, saw: Refusal, account: "UUID") -> int | None:
        """By which the ledger sees whether a part is still on its way. A purse that lacks a budget does not say it."""
        if saw.kind is RefusalKind.BUDGET:
            reply = await self._store.call("HGET", purse_key(account), "gr")
            return int(reply) if isinstance(reply, bytes) else None
        return saw.limit or None if saw.kind is RefusalKind.LOW else None

    def _need(self, demand: Demand, saw: Refusal, granted_in_purse: int | None) -> Need:
        terms, facts, burn = demand.terms, demand.facts, self._burns.get(demand.terms.account)
        lacks_budget = saw.kind is RefusalKind.BUDGET
        return Need(
            account=terms.account, payer_kind=facts.payer_kind, payer_id=facts.payer_id, provider=facts.provider,
            amount=demand.amount, budgets=demand.budgets, run_id=saw.run_id or demand.run_id,
            generation=self.generation,
            seen_epoch=saw.epoch, purse_alive=saw.purse_alive,
            # A purse that lacks a budget's part was not asked for tokens: if it lacks them too, it says so next.
            available_in_purse=MAX_TOKENS if lacks_budget else saw.available,
            budgets_in_purse={saw.budget: saw.available} if lacks_budget else {},
            granted_in_purse=granted_in_purse,
            tier=terms.tier.name, allowances=terms.tier.allowances, quota_cap=terms.tier.quota_cap,
            burn=0 if burn is None else burn.expected(settings.LEASE_BURN_SECONDS, time.monotonic()),
        )  # fmt: skip

    def _keep_small(self) -> None:
        """Forget who has not called for long."""
        if len(self._burns) >= REMEMBERED:
            now = time.monotonic()
            self._burns = {key: burn for key, burn in self._burns.items() if now - burn.began < 2 * MINUTE_SECONDS}
            self._quiet_until = {key: until for key, until in self._quiet_until.items() if until > now}

    async def close(self) -> None:
        """Let what is under way end: a part that was given must reach its purse."""
        if self._asking:
            await asyncio.wait(self._asking)


def _is_told_by(other: Demand, demand: Demand) -> bool:
    """Whether what one call was refused holds for another."""
    return other is demand or (demand.amount >= other.amount and demand.budgets == other.budgets)


def _as_told_to(demand: Demand, error: LeakyError) -> LeakyError:
    """The same error for another call, whose need is its own."""
    if isinstance(error, InsufficientQuota | InsufficientBudget):
        return replace(error, needed=demand.amount)
    return type(error)(*error.args)


def _as_refusal(admitted: Admitted) -> Refusal:
    """What an admission has seen of the purse."""
    return Refusal(
        RefusalKind.LOW, admitted.poured_ms, admitted.epoch, purse_alive=True, available=admitted.available
    )  # fmt: skip


def _kind(part: Part) -> str:
    return "grant" if part.opens else "topup"
