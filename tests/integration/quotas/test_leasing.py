"""Leases are given under the account's lock: never more than there is, one OPEN at a time, and back into no other
hands.
"""

from collections import Counter
from datetime import UTC, datetime
from functools import partial
from uuid import UUID, uuid4

import pytest

from apps.core.errors import AccountSuspended, InsufficientBudget, InsufficientQuota, StoreUnavailable
from apps.quotas.api import (
    Budget,
    LookAgain,
    Need,
    Part,
    account_id,
    balance,
    budget_of,
    check_identities,
    ensure_lease,
    ledger_generation,
    suspend,
)
from apps.quotas.models import Lot
from tests.integration.quotas.needs import as_owner, leased, leases_of, need_of, topped_up
from tests.integration.quotas.payers import entries, funded_account
from tests.integration.quotas.threads import at_once

pytestmark = pytest.mark.usefixtures("without_loops", "committed")


def test_the_first_need_opens_an_epoch_of_the_present_generation() -> None:
    account = funded_account(1000)
    part = leased(account, 10, run_id="run-1")
    assert (part.opens, part.amount, part.run_id) == (True, 40, "run-1"), "four holds, within a tenth"
    assert part.epoch >> 32 == part.generation == ledger_generation()
    assert (balance(account).available, balance(account).leased) == (960, 40)
    assert entries(account) == [("GRANT", 1000), ("LEASE", 40)]
    assert check_identities(account) == []


def test_a_living_purse_gets_another_part_of_its_epoch() -> None:
    account = funded_account(1000)
    first = leased(account, 10)
    more = topped_up(first, 10, available_in_purse=3, burn=60)
    assert (more.opens, more.epoch, more.amount) == (False, first.epoch, 60)
    assert balance(account).leased == 100
    assert [(row["granted"], row["state"]) for row in leases_of(account)] == [(100, "OPEN")]


def test_a_purse_that_is_gone_puts_its_lease_in_doubt() -> None:
    account = funded_account(1000)
    first = leased(account, 10)
    second = leased(account, 10, seen_epoch=first.epoch)
    assert second.epoch == first.epoch + 1
    assert [row["state"] for row in leases_of(account)] == ["DOUBT", "OPEN"]
    assert balance(account).leased == 80
    assert check_identities(account) == []


def test_a_young_lease_that_was_not_seen_may_be_on_its_way() -> None:
    account = funded_account(1000)
    first = leased(account, 10)
    assert ensure_lease(need_of(account, 10)) == LookAgain(first.generation, first.epoch)
    _age(account)
    assert leased(account, 10).epoch == first.epoch + 1


def _age(account: UUID) -> None:
    as_owner("UPDATE quotas_lease SET opened_at = opened_at - interval '3 seconds' WHERE account_id = %s", account)


def test_a_gateway_of_another_generation_looks_again() -> None:
    account = funded_account(1000)
    need = need_of(account, 10)
    stale = Need(account, need.payer_kind, need.payer_id, need.provider, 10, generation=ledger_generation() + 7)
    answer = ensure_lease(stale)
    assert isinstance(answer, LookAgain)
    assert answer.generation == ledger_generation()
    assert leases_of(account) == []


def test_less_than_the_call_needs_is_refused_and_nothing_moves() -> None:
    account = funded_account(50)
    with pytest.raises(InsufficientQuota) as refusal:
        ensure_lease(need_of(account, 60))
    assert (refusal.value.needed, refusal.value.available, refusal.value.granted) == (60, 50, 50)
    assert entries(account) == [("GRANT", 50)]


def test_an_account_that_was_never_opened_is_refused() -> None:
    nobody = Need(account_id("user", uuid4(), "openai"), "user", uuid4(), "openai", 1, generation=ledger_generation())
    with pytest.raises(InsufficientQuota):
        ensure_lease(nobody)


def test_tokens_in_doubt_are_no_refusal_of_the_payer() -> None:
    account = funded_account(50)
    first = leased(account, 40)
    with pytest.raises(StoreUnavailable):
        ensure_lease(need_of(account, 40, seen_epoch=first.epoch))
    assert [row["state"] for row in leases_of(account)] == ["DOUBT"], "and its closing has begun"


def test_all_is_held_by_calls_under_way_is_a_refusal() -> None:
    account = funded_account(50)
    first = leased(account, 50)
    with pytest.raises(InsufficientQuota):
        ensure_lease(need_of(account, 10, seen_epoch=first.epoch, purse_alive=True, granted_in_purse=50))


def test_what_is_on_its_way_to_the_purse_is_waited_for() -> None:
    account = funded_account(50)
    first = leased(account, 50)
    need = need_of(account, 10, seen_epoch=first.epoch, purse_alive=True, granted_in_purse=0)
    assert isinstance(ensure_lease(need), LookAgain)


def test_a_suspended_account_is_given_nothing() -> None:
    account = funded_account(50)
    suspend(account)
    with pytest.raises(AccountSuspended):
        ensure_lease(need_of(account, 10))


def test_of_many_at_once_one_opens_and_the_others_look_again() -> None:
    account = funded_account(10_000)
    need = need_of(account, 10)
    answers = at_once([partial(ensure_lease, need) for _ in range(20)])
    assert Counter(type(answer) for answer in answers) == {Part: 1, LookAgain: 19}
    assert [row["state"] for row in leases_of(account)] == ["OPEN"]


def test_parts_for_a_living_purse_at_once_never_exceed_the_account() -> None:
    account = funded_account(1000)
    first = leased(account, 10)
    need = need_of(account, 100, seen_epoch=first.epoch, purse_alive=True, granted_in_purse=first.amount)
    answers = at_once([partial(ensure_lease, need) for _ in range(30)])
    assert sum(answer.amount for answer in answers if isinstance(answer, Part)) + first.amount <= 1000
    assert not [answer for answer in answers if not isinstance(answer, Part | LookAgain)]
    assert check_identities(account) == []


def test_budgets_are_leased_beside_tokens() -> None:
    account, budget = funded_account(1000), Budget(uuid4().hex[:10], 25)
    first = leased(account, 10, budgets=(budget,))
    assert first.budgets == {budget.id: 10}, "a tenth of 25 is less than the call needs"
    assert budget_of(budget.id) == (0, 10)
    more = topped_up(first, 10, budgets=(budget,), available_in_purse=30, budgets_in_purse={budget.id: 0})
    assert more.budgets == {budget.id: 10}
    with pytest.raises(InsufficientBudget) as refusal:
        topped_up(first, 10, budgets=(budget,), budgets_in_purse={budget.id: 0}, granted_in_purse=10**6)
    assert (refusal.value.budget, refusal.value.held, refusal.value.budget_id) == (25, 20, budget.id)


def test_a_tiers_cap_is_a_view_of_the_day() -> None:
    account = funded_account(1000)
    first = leased(account, 30, quota_cap=100)
    assert first.amount == 30, "a tenth of what the cap leaves is less"
    with pytest.raises(InsufficientQuota) as refusal:
        topped_up(first, 80, quota_cap=100, granted_in_purse=10**6)
    assert refusal.value.cap == 100
    assert balance(account).available == 970


def test_allowances_come_with_the_first_need_of_their_window_and_once() -> None:
    payer = uuid4()
    account = account_id("user", payer, "openai")
    allowances = (("openai", "day", 500), ("gemini", "day", 900), ("openai", "month", 100))
    need = Need(
        account, "user", payer, "openai", 10, generation=ledger_generation(), tier="USER", allowances=allowances
    )  # fmt: skip
    answers = at_once([partial(ensure_lease, need) for _ in range(8)])
    assert Counter(type(answer) for answer in answers) == {Part: 1, LookAgain: 7}
    assert balance(account).granted == 600
    lots = {lot.tokens: lot for lot in Lot.objects.filter(account_id=account)}
    assert lots[500].kind == "allowance"
    assert lots[500].expires_at is not None
    assert 0 < (lots[500].expires_at - datetime.now(UTC)).total_seconds() <= 86_400
    assert check_identities(account) == []
