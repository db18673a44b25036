"""Many at once on one account, with real transactions: nothing is sold twice, nothing ends twice."""

from collections import Counter
from functools import partial

import pytest

from apps.core.errors import InsufficientQuota
from apps.outbox.models import OutboxEvent
from apps.quotas.api import Settled, balance, check_identities, expire_holds, grant, renew, reserve, settle
from apps.quotas.domain import Account
from apps.quotas.models import Hold, Transfer
from tests.integration.quotas.payers import (
    MINUTE_MS,
    OVERDUE_MS,
    entries,
    facts,
    funded_account,
    hold_of,
    make_overdue,
    settlement_of,
)
from tests.integration.quotas.threads import at_once

pytestmark = pytest.mark.usefixtures("committed")


@pytest.mark.parametrize("repetition", range(10))
def test_of_64_calls_at_once_on_a_grant_for_20_exactly_20_win(repetition: int) -> None:
    account = funded_account(20 * 7)
    holds = [hold_of(account, 7) for _ in range(64)]

    results = at_once([partial(reserve, hold, ttl_ms=MINUTE_MS) for hold in holds])

    assert Counter(type(result) for result in results) == {type(None): 20, InsufficientQuota: 44}
    after = balance(account)
    assert (after.available, after.held) == (0, 140)
    assert check_identities(account) == []

    winners = [hold for hold, result in zip(holds, results, strict=True) if result is None]
    at_once([partial(settle, settlement_of(hold, 7)) for hold in winners])
    assert balance(account).spent == 140
    assert check_identities(account) == []


def test_one_hold_reserved_many_times_at_once_is_held_once() -> None:
    account = funded_account(10)
    hold = hold_of(account, 10)

    results = at_once([partial(reserve, hold, ttl_ms=MINUTE_MS) for _ in range(16)])

    assert results == [None] * 16
    assert entries(account) == [("GRANT", 10), ("HOLD", 10)]


def test_one_grant_given_many_times_at_once_is_given_once() -> None:
    call = facts()
    give = partial(
        grant,
        payer_kind="org",
        payer_id=call.payer_id,
        provider="qwen",
        tokens=50,
        grant_id=call.user_id,
        reason="r",
        actor="a",
    )

    results = at_once([give] * 16)

    assert {result.granted for result in results if isinstance(result, Account)} == {50}
    assert Counter(type(result) for result in results) == {Account: 16}


@pytest.mark.parametrize("cost", [0, 9, 30, 44])
def test_five_settlements_at_once_have_one_effect(cost: int) -> None:
    account = funded_account(100)
    hold = hold_of(account, 30)
    reserve(hold, ttl_ms=MINUTE_MS)

    results = at_once([partial(settle, settlement_of(hold, cost)) for _ in range(5)])

    answers = [result for result in results if isinstance(result, Settled)]
    assert len(answers) == 5
    assert sorted(answer.first for answer in answers) == [False] * 4 + [True]
    assert {answer.charged for answer in answers} == {cost}
    assert balance(account).spent == cost
    assert OutboxEvent.objects.filter(aggregate_id=account).count() == 1


@pytest.mark.parametrize("repetition", range(10))
def test_a_settlement_that_races_the_expiry_charges_the_cost_once(repetition: int) -> None:
    account = funded_account(100)
    hold = hold_of(account, 30)
    reserve(hold, ttl_ms=MINUTE_MS)
    renew([(account, hold.id, 12)], ttl_ms=OVERDUE_MS)

    results = at_once([
        partial(settle, settlement_of(hold, 20)),
        partial(expire_holds, limit=100),
        partial(settle, settlement_of(hold, 20)),
        partial(expire_holds, limit=100),
    ])  # fmt: skip

    assert [result for result in results if isinstance(result, Exception)] == []
    after = balance(account)
    assert (after.spent, after.held, after.available) == (20, 0, 80)
    assert check_identities(account) == []
    charged = [event.data["charged"] for event in OutboxEvent.objects.filter(aggregate_id=account)]
    assert sum(charged) == 20


def test_many_sweepers_end_each_overdue_hold_once() -> None:
    account = funded_account(200)
    holds = [hold_of(account, 5) for _ in range(20)]
    for hold in holds:
        reserve(hold, ttl_ms=MINUTE_MS)
        make_overdue(hold)

    results = at_once([partial(expire_holds, limit=1000)] * 4)

    assert [result for result in results if isinstance(result, Exception)] == []
    while expire_holds(limit=1000):  # a sweeper passes over a hold that another has locked
        pass
    assert set(Hold.objects.filter(account_id=account).values_list("status", flat=True)) == {"EXPIRED"}
    assert Transfer.objects.filter(account_id=account, code="RELEASE").count() == 20
    assert balance(account).available == 200


def test_a_mixed_storm_ends_with_every_identity() -> None:
    account = funded_account(1000)
    holds = [hold_of(account, 25) for _ in range(60)]

    def live(hold_number: int) -> None:
        hold = holds[hold_number]
        try:
            reserve(hold, ttl_ms=OVERDUE_MS if hold_number % 3 == 0 else MINUTE_MS)
        except InsufficientQuota:
            return
        renew([(account, hold.id, hold_number)], ttl_ms=MINUTE_MS if hold_number % 2 else OVERDUE_MS)
        expire_holds(limit=5)
        settle(settlement_of(hold, hold_number))

    results = at_once([partial(live, number) for number in range(60)])

    assert [result for result in results if isinstance(result, Exception)] == []
    costs = {hold.id: number for number, hold in enumerate(holds)}
    after = balance(account)
    assert after.held == 0
    assert after.spent + after.absorbed == sum(
        costs[row.id] for row in Hold.objects.filter(account_id=account, status__in=["SETTLED", "RELEASED"])
    )
    assert check_identities(account) == []
