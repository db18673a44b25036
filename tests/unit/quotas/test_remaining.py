"""What may still be spent: the ledger and the purse put together, whichever of them was read first."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.quotas.remaining import Books, Lent, Lot, Part, Purse, Quota, quota_of

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=12)
ACCOUNT = UUID("018f2b6c-7d5e-7a4b-9c3d-2e1f0a9b8c7d")


def _books(**amounts: Any) -> Books:
    given_ = {"available": 0, "leased": 0, "held": 0, "spent": 0, "expired": 0, "refunded": 0, "used": 0} | amounts
    lots = given_.pop("lots", None)
    granted = sum(given_[name] for name in ("available", "leased", "held", "spent", "expired", "refunded"))
    rest = granted - given_["spent"] - given_["expired"] - given_["refunded"]
    return Books(
        account=ACCOUNT,
        provider="openai",
        suspended=False,
        granted=granted,
        updated_at=NOW,
        lots=[Lot(uuid4(), granted, rest, False, None)] if lots is None else lots,
        lent=given_.pop("lent", ()),
        **given_,
    )


def _quota(books: Books, purse: Purse | None = None, **more: Any) -> Quota:
    return quota_of(books, purse, **{"cap": None, "due": 0, "resets_at": None, "now": NOW, **more})


def test_an_account_without_leases_has_what_is_available() -> None:
    quota = _quota(_books(available=90, held=7, spent=3))

    assert (quota.total, quota.remaining, quota.held, quota.spent) == (100, 90, 7, 3)
    assert (quota.purchased, quota.allowance) == (Part(100, 90), Part(0, 0))


def test_what_is_lent_remains_until_calls_hold_or_spend_it() -> None:
    books = _books(available=60, leased=40, lent=[Lent(1, 40, 0, 0, False)])

    assert _quota(books, Purse(1, 40, 25, 10, 5, 0, 2)).remaining == 85
    assert _quota(books, Purse(1, 40, 25, 10, 5, 0, 2)).held == 10
    assert _quota(books, Purse(1, 40, 25, 10, 5, 0, 2)).spent == 5
    assert _quota(books, None).remaining == 100, "nobody could be asked: all that is lent counts as free"


@pytest.mark.parametrize(
    ("lease", "available"),
    [
        (Lent(1, 40, 0, 0, False), 60),  # as the purse has it
        (Lent(1, 55, 0, 0, False), 45),  # a part is on its way to the purse
        (Lent(1, 40, 5, 0, False), 60),  # the charge has been booked since
        (Lent(1, 40, 5, 3, False), 63),  # so has a return, which the purse shows
        (Lent(1, 40, 0, 3, False), 63),  # or the return alone
    ],
)
def test_what_only_one_of_the_two_has_seen_is_counted_once(lease: Lent, available: int) -> None:
    books = _books(available=available, leased=lease.outstanding, spent=lease.settled, lent=[lease])
    quota = _quota(books, Purse(1, 40, 22, 10, 5, 3, 1))

    assert (quota.remaining, quota.held, quota.spent) == (85, 10, 5)


def test_a_lease_that_is_lost_remains_until_it_is_doubted_and_is_in_doubt_then() -> None:
    books = _books(available=60, leased=40, lent=[Lent(1, 40, 0, 0, False)])
    doubted = replace(books, lent=[Lent(1, 40, 0, 0, True)])

    assert (_quota(books, Purse(2, 9, 9, 0, 0, 0, 0)).remaining, _quota(books).in_doubt) == (100, 0)
    assert (_quota(doubted).remaining, _quota(doubted).in_doubt) == (60, 40)


def test_a_doubtful_lease_whose_purse_lives_still_tells_what_its_calls_do() -> None:
    books = _books(available=60, leased=40, lent=[Lent(1, 40, 0, 0, True)])
    quota = _quota(books, Purse(1, 40, 25, 10, 5, 0, 2))

    assert (quota.remaining, quota.held, quota.spent, quota.in_doubt) == (60, 10, 5, 25)


def test_a_cap_shows_without_taking_anything_away() -> None:
    books = _books(available=1000, spent=30, used=30)

    assert (_quota(books, cap=100).remaining, _quota(books, cap=100).cap_remaining) == (70, 70)
    assert _quota(books, cap=20).remaining == 0
    assert _quota(books, cap=5000).remaining == 1000
    assert _quota(books, cap=100).total == 1030
    assert _quota(books, cap=0).remaining == 0


def test_what_is_under_way_and_not_booked_counts_against_the_cap() -> None:
    books = _books(available=960, leased=40, lent=[Lent(1, 40, 0, 0, False)])

    assert _quota(books, Purse(1, 40, 25, 10, 5, 0, 1), cap=100).remaining == 85


def test_an_allowance_that_nobody_has_fetched_yet_is_there() -> None:
    quota = _quota(_books(available=10), due=50, resets_at=LATER)

    assert (quota.total, quota.remaining, quota.allowance, quota.resets_at) == (60, 60, Part(50, 50), LATER)


def test_what_ends_first_is_used_first() -> None:
    lots = [Lot(uuid4(), 100, 100, False, None), Lot(uuid4(), 50, 50, True, LATER)]
    books = _books(available=110, leased=40, lots=lots, lent=[Lent(1, 40, 0, 0, False)])
    quota = _quota(books, Purse(1, 40, 10, 20, 10, 0, 1))

    assert (quota.allowance, quota.purchased) == (Part(50, 20), Part(100, 100))


def test_a_lot_that_is_over_counts_no_more_except_for_what_calls_have() -> None:
    lots = [Lot(uuid4(), 50, 50, True, NOW), Lot(uuid4(), 100, 100, False, None)]

    free = _quota(_books(available=150, lots=lots))
    assert (free.total, free.remaining) == (100, 100)
    books = _books(available=110, leased=40, lots=lots, lent=[Lent(1, 40, 0, 0, False)])
    assert _quota(books, Purse(1, 40, 40, 0, 0, 0, 0)).remaining == 140


def test_refunded_tokens_are_not_granted_any_more() -> None:
    lots = [Lot(uuid4(), 100, 70, False, None)]

    assert _quota(_books(available=70, refunded=30, lots=lots)).total == 70


@given(
    tokens=st.integers(1, 10**15),
    lent=st.integers(0, 100),
    held=st.integers(0, 100),
    spent=st.integers(0, 100),
    settled=st.integers(0, 100),
)
def test_nothing_is_lost_or_counted_twice(tokens: int, lent: int, held: int, spent: int, settled: int) -> None:
    """Whatever the purse has done of a lease, and whatever of that is booked: the parts are the whole."""
    granted = lent + held + spent
    booked = min(settled, spent)
    books = _books(available=tokens, leased=granted - booked, spent=booked, lent=[Lent(7, granted, booked, 0, False)])
    quota = _quota(books, Purse(7, granted, lent, held, spent, 0, 1))

    assert quota.total == quota.remaining + quota.held + quota.spent + quota.in_doubt
    assert (quota.remaining, quota.held, quota.spent) == (tokens + lent, held, spent)
    assert quota.purchased.remaining == quota.remaining
