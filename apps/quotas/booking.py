"""What one entry of a journal means for the ledger. Values and rules, no framework; the simulator drives them too.

An entry tells of a call that was settled (S) or swept (X), or of tokens that go back (R). It may come twice, late, or
after its lease was closed. A call's first entry charges its lease; a settlement after a sweep corrects it; a sweep
after a settlement changes nothing. What a lease cannot cover is charged to what is available, then to the house.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID, uuid5

from apps.quotas import domain
from apps.quotas.domain import Code, Status
from apps.quotas.leases import Lease, LeaseState

SETTLED, SWEPT, RETURNED = "S", "X", "R"


class Move(Protocol):
    """What an entry says of a budget."""

    @property
    def id(self) -> str:
        """The budget's."""

    @property
    def returned(self) -> int:
        """Tokens of its part that go back."""


class Entry(Protocol):
    """What this module reads of the limiter's entry, which is not imported because it comes with a client."""

    @property
    def kind(self) -> str:
        """S, X or R."""

    @property
    def subject(self) -> UUID:
        """The hold, or the return."""

    @property
    def generation(self) -> int:
        """Of the ledger, when the lease was granted."""

    @property
    def amount(self) -> int:
        """What was set aside for the call."""

    @property
    def charged(self) -> int:
        """All that the hold came to."""

    @property
    def absorbed(self) -> int:
        """What the purse could not cover."""

    @property
    def returned(self) -> int:
        """What goes back because the purse cannot use it any more."""

    @property
    def budgets(self) -> Sequence[Move]:
        """The budgets that it counts against."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A hold's row as the ledger has it: how it ended and what was charged and absorbed, in tokens."""

    status: Status
    charged: int
    absorbed: int


@dataclass(frozen=True, slots=True)
class Posting:
    """A double entry and what it is a part of."""

    entry: domain.Entry
    ref: UUID


@dataclass(frozen=True, slots=True)
class BudgetBooking:
    """What an entry moves of a budget: from its lease to spent and back to free, and what is spent in all, in
    tokens.
    """

    id: str
    settled: int
    returned: int
    spent: int


@dataclass(frozen=True, slots=True)
class Booking:
    """All that one entry changes. ``ended`` is the hold's row after it (None: there is none, or it stays as it is).

    ``settled`` and ``returned`` are added to the lease's; ``charged`` and ``absorbed`` are what this entry moved, for
    the usage event; ``corrects``: that event corrects an earlier one.
    """

    postings: tuple[Posting, ...] = ()
    ended: Ended | None = None
    settled: int = 0
    returned: int = 0
    charged: int = 0
    absorbed: int = 0
    corrects: bool = False
    budgets: tuple[BudgetBooking, ...] = ()

    @property
    def available(self) -> int:
        """What the account's available tokens change by."""
        return sum(_flow(posting.entry, "available") for posting in self.postings)


def return_ref(entry: Entry) -> UUID:
    """What the RETURN transfer of an entry refers to: a hold may bring tokens back as it ends, is swept, and is
    freed.
    """
    return entry.subject if entry.kind == RETURNED else uuid5(entry.subject, f"return:{entry.kind}")


def book(
    entry: Entry,
    lease: Lease | None,
    hold: Ended | None,
    *,
    available: int,
    is_returned: bool,
    budget_leases: Mapping[str, tuple[int, int]],
) -> Booking:
    """What ``entry`` changes, given the lease that it names, the hold's row and the account's available tokens.

    ``is_returned``: the RETURN that it asks for (:func:`return_ref`) is in the ledger. ``budget_leases``: what the
    lease has of each budget that the entry names, as (remaining, settled).
    """
    own = _own(entry, lease)
    if entry.kind == RETURNED:
        booking = Booking()
    elif hold is None:
        booking = _first(entry, own, available)
    elif hold.status is Status.EXPIRED and entry.kind == SETTLED:
        booking = _correction(entry, own, hold, available)
    else:
        booking = Booking()
    if not is_returned:
        booking = _with_return(booking, entry, own)
    return _with_budgets(booking, entry, own, budget_leases, is_returned=is_returned)


def _own(entry: Entry, lease: Lease | None) -> Lease | None:
    """The lease that the entry's tokens are from, while it can still be charged: closed or of another generation,
    none.
    """
    if lease is None or lease.generation != entry.generation or lease.state is LeaseState.CLOSED:
        return None
    return lease


def _cost_to_account(entry: Entry) -> int:
    """What the account owes: what the purse could pay, and what it had set aside for the call in any case."""
    return max(entry.charged, min(entry.charged + entry.absorbed, entry.amount))


def _first(entry: Entry, lease: Lease | None, available: int) -> Booking:
    from_lease = min(entry.charged, lease.remaining if lease else 0)
    late = min(_cost_to_account(entry) - from_lease, max(available, 0))
    charged = from_lease + late
    absorbed = entry.charged + entry.absorbed - charged
    return Booking(
        postings=_postings(
            entry.subject,
            domain.Entry(Code.SETTLE, "leased", "spent", from_lease),
            domain.Entry(Code.LATE, "available", "spent", late),
            domain.Entry(Code.ABSORB, "house", "absorbed", absorbed),
        ),
        ended=Ended(_status(entry, charged + absorbed), charged, absorbed),
        settled=from_lease,
        charged=charged,
        absorbed=absorbed,
    )


def _status(entry: Entry, cost: int) -> Status:
    if entry.kind == SWEPT:
        return Status.EXPIRED
    return Status.SETTLED if cost else Status.RELEASED


def _correction(entry: Entry, lease: Lease | None, hold: Ended, available: int) -> Booking:
    """A call that the sweeper had charged by its progress has told its true cost."""
    from_lease = 0
    if lease is not None:  # What it was charged too much it gets back: the purse has it again.
        from_lease = max(min(entry.charged - hold.charged, lease.remaining), -lease.settled)
    late = min(_cost_to_account(entry) - hold.charged - from_lease, max(available, 0))
    charged = from_lease + late
    absorbed = entry.charged + entry.absorbed - hold.charged - charged - hold.absorbed
    ended = Ended(Status.SETTLED, hold.charged + charged, hold.absorbed + absorbed)
    if not ended.charged + ended.absorbed:
        ended = replace(ended, status=Status.RELEASED)
    return Booking(
        postings=_postings(
            entry.subject,
            domain.either_way(Code.SETTLE_FIX, "leased", "spent", from_lease),
            domain.either_way(Code.LATE_FIX, "available", "spent", late),
            domain.either_way(Code.ABSORB_FIX, "house", "absorbed", absorbed),
        ),
        ended=ended,
        settled=from_lease,
        charged=charged,
        absorbed=absorbed,
        corrects=True,
    )


def _with_return(booking: Booking, entry: Entry, lease: Lease | None) -> Booking:
    """What the purse cannot use any more goes back, as far as the lease has it."""
    if lease is None:
        return booking
    back = min(entry.returned, lease.remaining - booking.settled)
    if back <= 0:
        return booking
    posting = Posting(domain.Entry(Code.RETURN, "leased", "available", back), return_ref(entry))
    return replace(booking, postings=(*booking.postings, posting), returned=back)


def _with_budgets(
    booking: Booking, entry: Entry, lease: Lease | None, leases: Mapping[str, tuple[int, int]], *, is_returned: bool
) -> Booking:
    moved: list[BudgetBooking] = []
    for move in entry.budgets:
        remaining, settled_before = leases.get(move.id, (0, 0)) if lease else (0, 0)
        settled = _settled_of_budget(booking.charged, remaining, settled_before)
        returned = 0 if is_returned else min(move.returned, remaining - settled)
        if settled or returned or booking.charged:
            moved.append(BudgetBooking(move.id, settled, max(returned, 0), booking.charged))
    return replace(booking, budgets=tuple(moved))


def _settled_of_budget(charged: int, remaining: int, settled: int) -> int:
    return min(charged, remaining) if charged >= 0 else max(charged, -settled)


def _postings(ref: UUID, *entries: domain.Entry) -> tuple[Posting, ...]:
    return tuple(Posting(entry, ref) for entry in entries if entry.amount)


def _flow(entry: domain.Entry, balance: str) -> int:
    return entry.amount * ((entry.credit == balance) - (entry.debit == balance))
