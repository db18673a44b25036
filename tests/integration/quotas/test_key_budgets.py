"""A key's own budget: it holds beside its payer's account, moves with each hold, and is free where there is none."""

from collections import Counter
from functools import partial
from uuid import UUID

import pytest
from django.db import DatabaseError, connection, transaction
from pytest_django import DjangoAssertNumQueries

from apps.accounts import keys
from apps.core.errors import InsufficientBudget, InsufficientQuota
from apps.quotas.api import (
    Budget,
    Hold,
    balance,
    budget_of,
    check_identities,
    expire_holds,
    renew,
    reserve,
    settle,
)
from apps.quotas.models import Budget as BudgetRow
from apps.quotas.models import Hold as HoldRow
from tests.integration.quotas.payers import (
    MINUTE_MS,
    entries,
    funded_account,
    hold_of,
    make_overdue,
    released,
    settlement_of,
)
from tests.integration.quotas.test_kills import BEFORE, EXPIRE, SETTLE, _blocked, _killed_while_waiting, _until_free
from tests.integration.quotas.threads import at_once

pytestmark = pytest.mark.usefixtures("committed")


def new_budget(tokens: int) -> Budget:
    """A budget of a key of the test's own."""
    return Budget(keys.parse(keys.issue(UUID(int=0))).id, tokens)


def budgeted(account: UUID, amount: int, budget: Budget) -> Hold:
    """A hold that counts against a budget, not yet taken."""
    plain = hold_of(account, amount)
    return Hold(plain.id, plain.account, plain.amount, plain.facts, (budget,))


def adds_up(budget: Budget) -> bool:
    """Whether the budget's balances are what its holds come to."""
    holds = HoldRow.objects.filter(budgets__contains=[budget.id]).values_list("status", "amount", "charged")
    held = sum(amount for status, amount, _ in holds if status == "HELD")
    return budget_of(budget.id) == (sum(charged for _, _, charged in holds), held)


@pytest.mark.parametrize("repetition", range(3))
def test_of_50_calls_at_once_on_a_budget_for_10_exactly_10_win(repetition: int) -> None:
    account, budget = funded_account(100_000), new_budget(10 * 7)
    holds = [budgeted(account, 7, budget) for _ in range(50)]

    results = at_once([partial(reserve, hold, ttl_ms=MINUTE_MS) for hold in holds])

    assert Counter(type(result) for result in results) == {type(None): 10, InsufficientBudget: 40}
    assert (budget_of(budget.id), balance(account).held) == ((0, 70), 70)
    winners = [hold for hold, result in zip(holds, results, strict=True) if result is None]
    at_once([partial(settle, settlement_of(hold, 7)) for hold in winners])
    assert (budget_of(budget.id), balance(account).spent) == ((70, 0), 70)
    assert adds_up(budget)
    assert check_identities(account) == []


def test_one_budget_for_calls_to_several_providers_at_once() -> None:
    accounts, budget = [funded_account(1000) for _ in range(5)], new_budget(10)
    holds = [budgeted(account, 1, budget) for account in accounts for _ in range(10)]
    results = at_once([partial(reserve, hold, ttl_ms=MINUTE_MS) for hold in holds])
    assert Counter(type(result) for result in results) == {type(None): 10, InsufficientBudget: 40}
    winners = [hold for hold, result in zip(holds, results, strict=True) if result is None]
    at_once([partial(settle, settlement_of(hold, 0)) for hold in winners])
    assert budget_of(budget.id) == (0, 0)
    assert [check_identities(account) for account in accounts] == [[]] * 5


def test_a_refusal_says_how_the_budget_stands_and_holds_nothing() -> None:
    account, budget = funded_account(1000), new_budget(100)
    spent, held = budgeted(account, 30, budget), budgeted(account, 20, budget)
    reserve(spent, ttl_ms=MINUTE_MS)
    settle(settlement_of(spent, 25))
    reserve(held, ttl_ms=MINUTE_MS)

    with pytest.raises(InsufficientBudget) as refusal:
        reserve(budgeted(account, 56, budget), ttl_ms=MINUTE_MS)

    short = refusal.value
    assert (short.needed, short.budget, short.spent, short.held) == (56, 100, 25, 20)
    assert (balance(account).held, budget_of(budget.id)) == (20, (25, 20))
    reserve(budgeted(account, 55, budget), ttl_ms=MINUTE_MS)
    assert adds_up(budget)


def test_a_call_larger_than_a_new_budget_is_refused() -> None:
    account, budget = funded_account(1000), new_budget(10)
    with pytest.raises(InsufficientBudget) as refusal:
        reserve(budgeted(account, 11, budget), ttl_ms=MINUTE_MS)
    assert (refusal.value.spent, refusal.value.held) == (0, 0)
    assert entries(account) == [("GRANT", 1000)]


def test_the_account_is_asked_before_the_budget() -> None:
    account, budget = funded_account(5), new_budget(10)
    with pytest.raises(InsufficientQuota):
        reserve(budgeted(account, 6, budget), ttl_ms=MINUTE_MS)
    assert budget_of(budget.id) == (0, 0)


@pytest.mark.parametrize(("cost", "spent"), [(30, 30), (12, 12), (0, 0), (45, 45), (130, 100)])
def test_a_budget_moves_like_its_account(cost: int, spent: int) -> None:
    account, budget = funded_account(100), new_budget(50)
    hold = budgeted(account, 30, budget)
    for _ in range(2):
        reserve(hold, ttl_ms=MINUTE_MS)
    assert budget_of(budget.id) == (0, 30)
    for _ in range(2):
        settle(settlement_of(hold, cost))
    assert (budget_of(budget.id), balance(account).spent) == ((spent, 0), spent)
    assert adds_up(budget)


@pytest.mark.parametrize(("late", "spent"), [(30, 30), (5, 5), (0, 0), (60, 60)])
def test_an_expired_hold_is_charged_its_progress_and_corrected_later(late: int, spent: int) -> None:
    account, budget = funded_account(100), new_budget(100)
    hold = budgeted(account, 30, budget)
    reserve(hold, ttl_ms=MINUTE_MS)
    renew([(account, hold.id, 12)], ttl_ms=MINUTE_MS)
    make_overdue(hold)
    expire_holds(limit=1000)
    assert budget_of(budget.id) == (12, 0)
    for _ in range(2):
        settle(settlement_of(hold, late) if late else released(hold))
    assert (budget_of(budget.id), balance(account).spent) == ((spent, 0), spent)
    assert adds_up(budget)


@pytest.mark.parametrize("operation", [SETTLE, EXPIRE], ids=["settle", "expire"])
def test_a_process_killed_in_between_leaves_the_budget_with_its_hold(operation: str) -> None:
    account, budget = funded_account(100), new_budget(50)
    hold = budgeted(account, 30, budget)
    reserve(hold, ttl_ms=MINUTE_MS)
    if operation is EXPIRE:
        make_overdue(hold)

    with _blocked(BEFORE["the event"]) as owner:
        _killed_while_waiting(owner, operation.format(hold=hold.id, account=account))
    _until_free(account)

    assert budget_of(budget.id) == (0, 30)
    settle(settlement_of(hold, 20))
    assert (budget_of(budget.id), adds_up(budget)) == ((20, 0), True)


def test_a_key_without_a_budget_costs_no_statement_more(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    account, budget = funded_account(100), new_budget(50)
    plain, counted = hold_of(account, 10), budgeted(account, 10, budget)
    with django_assert_num_queries(4):  # BEGIN, lock, take, COMMIT
        reserve(plain, ttl_ms=MINUTE_MS)
    with django_assert_num_queries(5):
        reserve(counted, ttl_ms=MINUTE_MS)


def test_the_application_cannot_forget_a_budget() -> None:
    budget = new_budget(5)
    reserve(budgeted(funded_account(10), 5, budget), ttl_ms=MINUTE_MS)
    for statement in (
        "DELETE FROM quotas_budget WHERE id = %s",
        "UPDATE quotas_budget SET held = -1 WHERE id = %s",
        "UPDATE quotas_budget SET id = 'another' WHERE id = %s",
    ):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, [budget.id])
    assert BudgetRow.objects.get(id=budget.id).held == 5
