"""What a call asks of the quota, and what a backend does about it. There are two: leases, and a row lock per call."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from apps.core.errors import LeakyError
from apps.core.units import Usage
from gateway.control_plane import (
    Admitted,
    Budget,
    CallFacts,
    Claim,
    ClaimEnd,
    Policy,
    Refusal,
    Settled,
    Settlement,
    Tier,
)

SWEPT, DEAD = "hold_lost", "revoked"
"""Why a call under way must stop: its hold was ended by others, or its credential has died."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What all calls of one credential with one provider have in common.

    ``credential`` and ``user`` are what revocations name; ``token_version`` None: the credential carries none.
    """

    account: UUID
    tier: Tier
    policy: Policy
    credential: str
    user: str
    token_version: int | None


@dataclass(slots=True)
class Demand:
    """A call that asks to be admitted: ``amount`` tokens, within its account, its budgets and its tier.

    ``amount`` is the most that it can cost or, where its hold grows, what is held for it so far.

    ``facts_json`` is the same as ``facts``, as the journal and the spool carry it. ``generation`` is the ledger's, as
    of the reservation; ``run_id`` that of the server which answered it.
    """

    hold: UUID
    amount: int
    terms: Terms
    facts: CallFacts
    facts_json: bytes
    budgets: tuple[Budget, ...]
    claim: Claim | None
    generation: int = 0
    run_id: str = ""


class LimitReached(LeakyError):
    """The limiter refused; ``refusal`` has the limit."""

    code = "limit_reached"

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.kind)
        self.refusal = refusal


@dataclass(slots=True, unsafe_hash=True)
class Ending:
    """How an admitted call ended. ``before_start``: while it waited for its turn, so nothing of it has begun."""

    settlement: Settlement
    claim_end: ClaimEnd
    before_start: bool = False


Settle = Callable[[], Awaitable[Settled]]
"""Tells the quota how a call ended; doing it again changes nothing. Raises StoreUnavailable, HoldNotFound."""


class Quota(Protocol):
    """A backend."""

    async def admit(self, demand: Demand) -> Admitted:
        """Take a hold, or refuse.

        Raises:
            LimitReached, InsufficientQuota, InsufficientBudget, AccountSuspended, StoreUnavailable
        """

    async def extend(self, demand: Demand, tokens: int) -> None:
        """Hold so many more tokens for a call under way, and add them to its ``amount``. All or nothing.

        If the answer never comes, more may be held than ``amount`` says; the call's end gives that back.

        Raises:
            HoldNotFound: it has ended, or its lease has.
            LimitReached, InsufficientQuota, InsufficientBudget, AccountSuspended, StoreUnavailable
        """

    def end(self, demand: Demand, admitted: Admitted, ending: Ending) -> Settle:
        """A call has ended: keep that, whatever happens to this process, and return how to settle it."""

    async def renew(self, live: Sequence[tuple[Demand, int]]) -> Mapping[UUID, str]:
        """Say that these calls live, and what each has cost so far; returns those that must stop, and why.

        Raises:
            StoreUnavailable
        """


def never_begun(demand: Demand) -> Settlement:
    """How a call ends that was never sent."""
    return Settlement(demand.hold, demand.terms.account, 0, Usage(), "aborted", "none", 503, 0)
