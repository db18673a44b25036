"""When an account gives tokens to Valkey, how many, and when they may come back: by tables."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.errors import AccountSuspended, InsufficientBudget, InsufficientQuota, StoreUnavailable
from apps.quotas.domain import Budget
from apps.quotas.leases import (
    GENERATION_STEP,
    BudgetUse,
    Decision,
    Funds,
    Lease,
    LeaseState,
    Mark,
    Need,
    SpoolReport,
    decide_lease,
    may_close,
    next_epoch,
    part_size,
)

ACCOUNT = UUID(int=1)
EPOCH = GENERATION_STEP
NEED = Need(ACCOUNT, "user", UUID(int=2), "openai", 10)
FUNDS = Funds(available=1000, leased=0, held=0, granted=1000, epoch=0)
OPEN = Lease(ACCOUNT, EPOCH, 1, 100, 0, 0, LeaseState.OPEN, age_ms=60_000, part_age_ms=60_000)
SEEN = replace(NEED, seen_epoch=EPOCH, purse_alive=True)
LENT = replace(FUNDS, available=900, leased=100, epoch=EPOCH)


def decide(funds: Funds, lease: Lease | None, need: Need, **budgets: BudgetUse) -> Decision:
    return decide_lease(funds, lease, need, generation=1, budgets=budgets)


@pytest.mark.parametrize(
    ("lease", "need", "doubt", "opens"),
    [
        (None, NEED, "", True),
        (OPEN, SEEN, "", False),
        (OPEN, replace(NEED, seen_epoch=EPOCH), "purse lost", True),
        (OPEN, NEED, "purse lost", True),
        (OPEN, replace(SEEN, seen_epoch=EPOCH - 1), "purse lost", True),
        (replace(OPEN, generation=0), SEEN, "generation", True),
    ],
)
def test_which_lease_a_part_is_for(lease: Lease | None, need: Need, doubt: str, opens: bool) -> None:
    decision = decide(LENT if lease else FUNDS, lease, need)
    assert (decision.doubt, bool(decision.opens), decision.tokens > 0) == (doubt, opens, True)


@pytest.mark.parametrize(
    ("lease", "need"),
    [
        (replace(OPEN, age_ms=10), NEED),
        (replace(OPEN, age_ms=10), replace(SEEN, seen_epoch=EPOCH - 1)),
        (None, replace(NEED, generation=2)),
    ],
)
def test_when_to_look_again(lease: Lease | None, need: Need) -> None:
    assert decide(LENT, lease, need) == Decision(look_again=True)


@pytest.mark.parametrize(
    ("funds", "lease", "need", "refusal"),
    [
        (replace(FUNDS, suspended=True), None, NEED, AccountSuspended),
        (replace(FUNDS, available=9), None, NEED, InsufficientQuota),
        (replace(FUNDS, available=9, leased=100), None, NEED, StoreUnavailable),
        (replace(LENT, available=9), OPEN, SEEN, InsufficientQuota),
        (replace(LENT, available=9, leased=150), OPEN, SEEN, StoreUnavailable),
        (FUNDS, None, replace(NEED, quota_cap=9), InsufficientQuota),
        (replace(FUNDS, spent_today=95), None, replace(NEED, quota_cap=100), InsufficientQuota),
        (FUNDS, None, replace(NEED, budgets=(Budget("b", 9),)), InsufficientBudget),
    ],
)
def test_what_is_refused_and_whose_fault_it_is(
    funds: Funds, lease: Lease | None, need: Need, refusal: type[Exception]
) -> None:
    assert isinstance(decide(funds, lease, need).refusal, refusal)


@pytest.mark.parametrize(("seen", "looks_again"), [(None, True), (60, True), (100, False)])
def test_a_part_on_its_way_is_waited_for(seen: int | None, looks_again: bool) -> None:
    young = replace(OPEN, part_age_ms=100)
    decision = decide(replace(LENT, available=0), young, replace(SEEN, granted_in_purse=seen))
    assert decision.look_again is looks_again
    assert (decision.refusal is None) is looks_again


@pytest.mark.parametrize(
    ("missing", "amount", "burn", "room", "size"),
    [
        (10, 10, 0, 1000, 40), (10, 10, 70, 1000, 70), (10, 10, 5000, 1000, 100), (10, 10, 0, 50, 10),
        (10, 10, 0, 10, 10), (0, 10, 0, 1000, 40), (0, 10, 0, 5, 0), (30, 10, 0, 1000, 40), (90, 10, 0, 1000, 90),
    ],
)  # fmt: skip
def test_the_size_of_a_part(missing: int, amount: int, burn: int, room: int, size: int) -> None:
    assert part_size(missing=missing, need=replace(NEED, amount=amount, burn=burn), room=room) == size


@given(
    available=st.integers(0, 2000), amount=st.integers(1, 300), in_purse=st.integers(0, 300), burn=st.integers(0, 5000),
    cap=st.none() | st.integers(0, 3000), alive=st.booleans(), limit=st.integers(0, 500), taken=st.integers(0, 500),
)  # fmt: skip
def test_no_more_than_there_is_and_no_less_than_is_needed(
    available: int, amount: int, in_purse: int, burn: int, cap: int | None, alive: bool, limit: int, taken: int
) -> None:
    need = replace(
        SEEN, amount=amount, purse_alive=alive, available_in_purse=in_purse if alive else 0, burn=burn, quota_cap=cap,
        budgets=(Budget("b", limit),), budgets_in_purse={"b": 0},
    )  # fmt: skip
    decision = decide(replace(LENT, available=available), OPEN, need, b=BudgetUse(spent=taken))
    assert 0 <= decision.tokens <= available
    assert decision.budgets.get("b", 0) <= max(limit - taken, 0)
    if cap is not None:
        assert decision.tokens <= max(cap - LENT.leased, 0)
    if decision.refusal is None and not decision.look_again:
        assert decision.tokens + need.available_in_purse >= amount
        assert decision.budgets.get("b", 0) >= amount


def test_epochs_rise_over_generations() -> None:
    assert next_epoch(0, 1) == GENERATION_STEP
    assert next_epoch(GENERATION_STEP, 1) == GENERATION_STEP + 1
    assert next_epoch(GENERATION_STEP + 5, 2) == 2 * GENERATION_STEP


DOUBT = replace(OPEN, state=LeaseState.DOUBT, expires_tick=1000)
DRAINED = Mark("run:1-0", "9-0", "9-0")
GRACE = 500


@pytest.mark.parametrize(
    ("change", "closes"),
    [
        ({}, True),
        ({"lease": replace(DOUBT, state=LeaseState.OPEN)}, False),
        ({"now_tick": 1499}, False),
        ({"in_purse": 1}, False),
        ({"mark": Mark("run:1-0", "9-0", "8-5")}, False),
        ({"mark": Mark("run:1-0", "", "")}, True),
        ({"lease": replace(DOUBT, journal="run:1-0", entry="8-5"), "mark": Mark("run:1-0", "9-0", "8-5")}, True),
        ({"lease": replace(DOUBT, journal="run:0-0", entry="8-5"), "mark": Mark("run:1-0", "9-0", "8-5")}, False),
        ({"spools": [SpoolReport(1501, None)]}, True),
        ({"spools": [SpoolReport(1500, None)]}, False),
        ({"spools": [SpoolReport(1600, 1501)]}, True),
        ({"spools": [SpoolReport(1600, 1500)]}, False),
        ({"spools": [SpoolReport(1600, None), SpoolReport(900, None)]}, False),
    ],
)
def test_when_a_lease_may_close(change: dict[str, object], closes: bool) -> None:
    facts = {"lease": DOUBT, "mark": DRAINED, "spools": [], "in_purse": 0, "now_tick": 2000} | change
    lease, mark, spools = facts.pop("lease"), facts.pop("mark"), facts.pop("spools")
    assert may_close(lease, mark, spools, grace_ms=GRACE, **facts) is closes  # type: ignore[arg-type]
