"""Holds of the row-lock backend that grow."""

from dataclasses import replace
from functools import partial
from uuid import UUID

import pytest

from apps.core.errors import AccountSuspended, HoldNotFound, InsufficientBudget, InsufficientQuota
from apps.quotas.api import Budget, Hold, balance, budget_of, check_identities, extend, reserve, settle, suspend
from apps.quotas.models import Hold as Row
from tests.integration.quotas.payers import MINUTE_MS, entries, funded_account, hold_of, settlement_of
from tests.integration.quotas.threads import at_once

pytestmark = pytest.mark.usefixtures("committed")


def held(account: UUID, amount: int, *budgets: Budget) -> Hold:
    """A hold, taken."""
    hold = replace(hold_of(account, amount), budgets=budgets)
    reserve(hold, ttl_ms=MINUTE_MS)
    return hold


def test_a_hold_grows_and_is_settled_as_a_whole() -> None:
    hold = held(funded_account(1000), 100)
    extend(hold, 200)
    extend(replace(hold, amount=300), 50)
    assert Row.objects.get(id=hold.id).amount == 350
    assert (balance(hold.account).held, balance(hold.account).available) == (350, 650)
    settled = settle(settlement_of(hold, 340))
    assert (settled.charged, settled.released) == (340, 10)
    assert (balance(hold.account).spent, balance(hold.account).available) == (340, 660)
    assert entries(hold.account)[1:4] == [("HOLD", 100), ("HOLD", 200), ("HOLD", 50)]
    assert check_identities(hold.account) == []


def test_growing_again_by_the_same_changes_nothing() -> None:
    hold = held(funded_account(1000), 100)
    assert at_once([partial(extend, hold, 200)] * 5) == [None] * 5
    assert balance(hold.account).held == 300


def test_a_hold_grows_no_further_than_account_and_budget() -> None:
    budget = Budget("key:growing", 250)
    hold = held(funded_account(300), 100, budget)
    with pytest.raises(InsufficientQuota) as short:
        extend(hold, 201)
    assert (short.value.needed, short.value.available) == (201, 200)
    with pytest.raises(InsufficientBudget):
        extend(hold, 151)
    assert (balance(hold.account).held, budget_of(budget.id)[1]) == (100, 100)
    extend(hold, 150)
    assert (balance(hold.account).held, budget_of(budget.id)[1]) == (250, 250)
    settle(settlement_of(hold, 7))
    assert budget_of(budget.id)[1] == 0


def test_what_has_ended_and_who_may_not_spend_gets_nothing_more() -> None:
    hold = held(funded_account(1000), 100)
    suspend(hold.account)
    with pytest.raises(AccountSuspended):
        extend(hold, 1)
    settle(settlement_of(hold, 1))
    with pytest.raises(HoldNotFound):
        extend(hold, 1)
    assert balance(hold.account).held == 0


def test_many_that_grow_at_once_never_hold_more_than_there_is() -> None:
    account = funded_account(1000)
    holds = [held(account, 10) for _ in range(8)]
    outcomes = at_once([partial(extend, hold, 200) for hold in holds])
    refused = [outcome for outcome in outcomes if outcome is not None]
    assert len(refused) == 4, "there were 920 tokens for eight that wanted 200"
    assert all(isinstance(outcome, InsufficientQuota) for outcome in refused)
    assert (balance(account).held, balance(account).available) == (880, 120)
    assert check_identities(account) == []
