"""What a journal entry changes: in any order, repeated, after its lease was closed; nothing is created or lost."""

from dataclasses import dataclass, replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.quotas.booking import Booking, Ended, book, return_ref
from apps.quotas.domain import Status
from apps.quotas.leases import Lease, LeaseState

LEASE = Lease(UUID(int=1), 5, 1, 100, 0, 0, LeaseState.OPEN)


@dataclass(frozen=True)
class Move:
    """What an entry says of a budget."""

    id: str
    returned: int


@dataclass(frozen=True)
class Entry:
    """A journal entry, as far as booking reads it."""

    kind: str
    charged: int = 0
    absorbed: int = 0
    returned: int = 0
    amount: int = 60
    generation: int = 1
    subject: UUID = UUID(int=7)  # noqa: RUF009 (a constant)
    budgets: tuple[Move, ...] = ()


def moved(booking: Booking) -> dict[tuple[str, str, str], int]:
    """Codes and ways of what was posted."""
    return {(p.entry.code.value, p.entry.debit, p.entry.credit): p.entry.amount for p in booking.postings}


def booked(entry: Entry, lease: Lease | None = LEASE, hold: Ended | None = None, available: int = 1000) -> Booking:
    return book(entry, lease, hold, available=available, is_returned=False, budget_leases={})


SETTLE = ("SETTLE", "leased", "spent")


@pytest.mark.parametrize(
    ("entry", "lease", "available", "expected"),
    [
        (Entry("S", 45), LEASE, 1000, {SETTLE: 45}),
        (Entry("S", 0), LEASE, 1000, {}),
        (Entry("X", 20), LEASE, 1000, {SETTLE: 20}),
        (Entry("S", 100, 30), LEASE, 1000, {SETTLE: 100, ("ABSORB", "house", "absorbed"): 30}),
        (Entry("S", 45, returned=15), LEASE, 0, {SETTLE: 45, ("RETURN", "leased", "available"): 15}),
        (Entry("R", returned=30), LEASE, 0, {("RETURN", "leased", "available"): 30}),
        (Entry("R", returned=130), LEASE, 0, {("RETURN", "leased", "available"): 100}),
        (Entry("R", returned=30), replace(LEASE, state=LeaseState.CLOSED), 0, {}),
        (Entry("S", 45), replace(LEASE, state=LeaseState.CLOSED), 1000, {("LATE", "available", "spent"): 45}),
        (Entry("S", 45), replace(LEASE, state=LeaseState.DOUBT), 1000, {SETTLE: 45}),
        (Entry("S", 45, generation=2), LEASE, 1000, {("LATE", "available", "spent"): 45}),
        (
            Entry("S", 45), None, 40, {("LATE", "available", "spent"): 40, ("ABSORB", "house", "absorbed"): 5},
        ),
        (
            Entry("S", 10, 15), replace(LEASE, settled=100), 1000, {("LATE", "available", "spent"): 25},
        ),
    ],
)  # fmt: skip
def test_a_first_entry(
    entry: Entry, lease: Lease | None, available: int, expected: dict[tuple[str, str, str], int]
) -> None:
    assert moved(booked(entry, lease, available=available)) == expected


CHARGED = replace(LEASE, settled=20)
SWEPT = Ended(Status.EXPIRED, 20, 0)


@pytest.mark.parametrize(
    ("entry", "lease", "expected", "status"),
    [
        (Entry("S", 45), CHARGED, {("SETTLE_FIX", "leased", "spent"): 25}, Status.SETTLED),
        (Entry("S", 5), CHARGED, {("SETTLE_FIX", "spent", "leased"): 15}, Status.SETTLED),
        (Entry("S", 0), CHARGED, {("SETTLE_FIX", "spent", "leased"): 20}, Status.RELEASED),
        (
            Entry("S", 5), replace(CHARGED, state=LeaseState.CLOSED), {("LATE_FIX", "spent", "available"): 15},
            Status.SETTLED,
        ),
        (
            Entry("S", 45), replace(CHARGED, state=LeaseState.CLOSED), {("LATE_FIX", "available", "spent"): 25},
            Status.SETTLED,
        ),
        (Entry("S", 20), CHARGED, {}, Status.SETTLED),
    ],
)  # fmt: skip
def test_a_settlement_after_the_sweep_corrects_it(
    entry: Entry, lease: Lease, expected: dict[tuple[str, str, str], int], status: Status
) -> None:
    booking = booked(entry, lease, SWEPT)
    assert (moved(booking), booking.corrects) == (expected, True)
    assert booking.ended is not None
    assert (booking.ended.status, booking.ended.charged) == (status, entry.charged)


@pytest.mark.parametrize("hold", [Ended(Status.SETTLED, 45, 0), Ended(Status.RELEASED, 0, 0)])
@pytest.mark.parametrize("kind", ["S", "X"])
def test_what_was_settled_stays(kind: str, hold: Ended) -> None:
    assert booked(Entry(kind, 45), LEASE, hold) == Booking()


def test_a_return_is_booked_once() -> None:
    entry = Entry("R", returned=30)
    again = book(entry, LEASE, None, available=0, is_returned=True, budget_leases={})
    assert again == Booking()
    assert len({return_ref(Entry(kind)) for kind in "SXR"}) == 3


def test_budgets_are_charged_and_freed_with_their_lease() -> None:
    entry = Entry("S", 45, returned=15, budgets=(Move("b", 15),))
    (of_budget,) = book(entry, LEASE, None, available=0, is_returned=False, budget_leases={"b": (50, 0)}).budgets
    assert (of_budget.settled, of_budget.returned, of_budget.spent) == (45, 5, 45)


AMOUNTS = st.integers(0, 120)


@given(
    first=st.sampled_from("SX"), charged=AMOUNTS, absorbed=AMOUNTS, returned=AMOUNTS, then=AMOUNTS, more=AMOUNTS,
    settled=st.integers(0, 100), available=AMOUNTS, closed=st.booleans(),
)  # fmt: skip
def test_nothing_is_created_or_lost(
    first: str,
    charged: int,
    absorbed: int,
    returned: int,
    then: int,
    more: int,
    settled: int,
    available: int,
    closed: bool,
) -> None:
    """Whatever comes: cost = charged + absorbed, no balance below nothing, the lease within what it was granted."""
    lease = replace(LEASE, settled=settled, state=LeaseState.CLOSED if closed else LeaseState.OPEN)
    hold: Ended | None = None
    for entry in (Entry(first, charged, absorbed, returned), Entry("S", then, more)):
        booking = booked(entry, lease, hold, available)
        lease = replace(lease, settled=lease.settled + booking.settled, returned=lease.returned + booking.returned)
        available += booking.available
        hold = booking.ended or hold
        assert available >= 0
        assert lease.settled >= 0
        assert lease.returned >= 0
        assert lease.remaining >= 0
        assert hold is not None
        assert min(hold.charged, hold.absorbed) >= 0
        if booking.ended is not None:
            assert hold.charged + hold.absorbed == entry.charged + entry.absorbed
