"""What each operation of the ledger does, on the real database, as the application's role."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.test.utils import CaptureQueriesContext

from apps.core.errors import AccountSuspended, HoldNotFound, InsufficientQuota
from apps.outbox.models import OutboxEvent
from apps.quotas.api import (
    Difference,
    Settled,
    account_id,
    balance,
    balances_of,
    check_identities,
    expire_holds,
    grant,
    renew,
    reopen,
    reserve,
    settle,
    suspend,
)
from apps.quotas.models import Hold
from tests.integration.quotas.payers import (
    MINUTE_MS,
    OVERDUE_MS,
    empty_account_id,
    entries,
    funded_account,
    hold_of,
    make_overdue,
    released,
    settlement_of,
)

pytestmark = pytest.mark.django_db


def test_a_grant_opens_the_account_and_happens_once() -> None:
    payer, first = uuid4(), uuid4()

    for _ in range(2):
        account = grant(
            payer_kind="org", payer_id=payer, provider="qwen", tokens=500, grant_id=first, reason="welcome", actor="ops"
        )

    assert account.id == account_id("org", payer, "qwen")
    assert (account.granted, account.available) == (500, 500)
    assert entries(account.id) == [("GRANT", 500)]
    assert balances_of("org", payer) == [account]
    assert balances_of("user", payer) == []


@pytest.mark.parametrize("tokens", [0, -1, 9 * 10**15 + 1])
def test_a_grant_of_nothing_or_too_much_is_refused(tokens: int) -> None:
    with pytest.raises(ValueError, match="a grant lies within"):
        funded_account(tokens)


def test_a_hold_sets_tokens_aside_once() -> None:
    account = funded_account(100)
    hold = hold_of(account, 30)

    reserve(hold, ttl_ms=MINUTE_MS)
    reserve(hold, ttl_ms=MINUTE_MS)

    after = balance(account)
    assert (after.available, after.held, after.spent) == (70, 30, 0)
    assert entries(account) == [("GRANT", 100), ("HOLD", 30)]
    assert check_identities(account) == []


def test_a_hold_taken_before_is_still_held_when_nothing_is_left() -> None:
    account = funded_account(30)
    hold = hold_of(account, 30)
    reserve(hold, ttl_ms=MINUTE_MS)

    reserve(hold, ttl_ms=MINUTE_MS)

    assert balance(account).held == 30


def test_an_account_that_has_less_refuses_with_its_balances() -> None:
    account = funded_account(100)
    reserve(hold_of(account, 30), ttl_ms=MINUTE_MS)

    with pytest.raises(InsufficientQuota) as refusal:
        reserve(hold_of(account, 71), ttl_ms=MINUTE_MS)

    error = refusal.value
    assert (error.needed, error.available, error.held, error.granted) == (71, 70, 30, 100)
    assert entries(account) == [("GRANT", 100), ("HOLD", 30)]


def test_an_account_that_does_not_exist_has_nothing() -> None:
    with pytest.raises(InsufficientQuota) as refusal:
        reserve(hold_of(empty_account_id(), 1), ttl_ms=MINUTE_MS)

    assert (refusal.value.available, refusal.value.held, refusal.value.granted) == (0, 0, 0)


def test_a_suspended_account_takes_no_hold_and_settles_those_it_has() -> None:
    account = funded_account(100)
    hold = hold_of(account, 30)
    reserve(hold, ttl_ms=MINUTE_MS)
    suspend(account)

    with pytest.raises(AccountSuspended):
        reserve(hold_of(account, 1), ttl_ms=MINUTE_MS)
    assert settle(settlement_of(hold, 10)).charged == 10

    reopen(account)
    reserve(hold_of(account, 1), ttl_ms=MINUTE_MS)
    assert balance(account).held == 1


@pytest.mark.parametrize(
    ("cost", "expected", "codes"),
    [
        (30, Settled(30, 0, 0, first=True), [("SETTLE", 30)]),
        (12, Settled(12, 18, 0, first=True), [("SETTLE", 12), ("RELEASE", 18)]),
        (0, Settled(0, 30, 0, first=True), [("RELEASE", 30)]),
        (45, Settled(45, 0, 0, first=True), [("SETTLE", 30), ("OVERRUN", 15)]),
        (130, Settled(100, 0, 30, first=True), [("SETTLE", 30), ("OVERRUN", 70), ("ABSORB", 30)]),
    ],
    ids=["exact", "less", "nothing", "overrun", "overrun beyond the grant"],
)
def test_a_settlement_takes_from_the_hold_the_account_and_the_house(
    cost: int, expected: Settled, codes: list[tuple[str, int]]
) -> None:
    account = funded_account(100)
    hold = hold_of(account, 30)
    reserve(hold, ttl_ms=MINUTE_MS)

    assert settle(settlement_of(hold, cost)) == expected

    after = balance(account)
    assert (after.spent, after.held, after.absorbed) == (expected.charged, 0, expected.absorbed)
    assert after.spent + after.held <= after.granted
    assert sorted(entries(account)[2:]) == sorted(codes)
    assert check_identities(account) == []


def test_a_settlement_repeated_gives_the_first_answer_and_changes_nothing() -> None:
    account = funded_account(100)
    hold = hold_of(account, 30)
    reserve(hold, ttl_ms=MINUTE_MS)
    settle(settlement_of(hold, 12))
    before = entries(account)

    assert settle(settlement_of(hold, 25)) == Settled(12, 18, 0, first=False)

    assert entries(account) == before
    assert OutboxEvent.objects.filter(aggregate_id=account).count() == 1


def test_a_settlement_of_an_unknown_hold_is_told() -> None:
    account = funded_account(100)

    with pytest.raises(HoldNotFound):
        settle(settlement_of(hold_of(account, 1), 1))
    with pytest.raises(HoldNotFound):
        settle(settlement_of(hold_of(empty_account_id(), 1), 1))


def test_a_hold_of_another_account_is_not_found() -> None:
    hold = hold_of(funded_account(100), 30)
    reserve(hold, ttl_ms=MINUTE_MS)
    stranger = hold_of(funded_account(100), 30)

    with pytest.raises(HoldNotFound):
        settle(settlement_of(type(hold)(hold.id, stranger.account, 30, hold.facts), 5))

    assert balance(hold.account).held == 30


@pytest.mark.parametrize("cost", [-1, 9 * 10**15 + 1])
def test_a_cost_that_cannot_be_is_refused(cost: int) -> None:
    hold = hold_of(funded_account(100), 30)
    reserve(hold, ttl_ms=MINUTE_MS)

    with pytest.raises(ValueError, match="cannot cost"):
        settle(settlement_of(hold, cost))

    assert balance(hold.account).held == 30


def test_renewing_keeps_holds_and_names_those_that_are_gone() -> None:
    account = funded_account(100)
    alive, done = hold_of(account, 30), hold_of(account, 20)
    for hold in (alive, done):
        reserve(hold, ttl_ms=OVERDUE_MS)
    settle(settlement_of(done, 1))
    unknown = uuid4()

    gone = renew([(account, alive.id, 7), (account, done.id, 9), (account, unknown, 1)], ttl_ms=MINUTE_MS)

    assert gone == {done.id, unknown}
    expire_holds(limit=1000)
    row = Hold.objects.get(id=alive.id)
    assert (row.status, row.progress) == ("HELD", 7)


def test_progress_never_falls() -> None:
    account = funded_account(100)
    hold = hold_of(account, 30)
    reserve(hold, ttl_ms=MINUTE_MS)

    for tokens in (7, 3):
        renew([(account, hold.id, tokens)], ttl_ms=MINUTE_MS)

    assert Hold.objects.get(id=hold.id).progress == 7


@pytest.mark.parametrize(("progress", "charged", "absorbed"), [(0, 0, 0), (12, 12, 0), (45, 45, 0), (130, 100, 30)])
def test_an_expired_hold_is_charged_what_its_call_had_reported(progress: int, charged: int, absorbed: int) -> None:
    account = funded_account(100)
    hold = hold_of(account, 30)
    reserve(hold, ttl_ms=MINUTE_MS)
    renew([(account, hold.id, progress)], ttl_ms=OVERDUE_MS)

    assert expire_holds(limit=1000) >= 1

    after = balance(account)
    assert (after.spent, after.held, after.absorbed) == (charged, 0, absorbed)
    event = OutboxEvent.objects.get(id=hold.id).data
    assert (event["outcome"], event["charged"], event["held"], event["corrects"]) == ("expired", charged, 30, None)
    assert check_identities(account) == []


def test_a_hold_that_is_not_overdue_does_not_expire() -> None:
    hold = hold_of(funded_account(100), 30)
    reserve(hold, ttl_ms=MINUTE_MS)

    expire_holds(limit=1000)

    assert Hold.objects.get(id=hold.id).status == "HELD"


def test_expiry_ends_no_more_than_asked_and_the_longest_overdue_first() -> None:
    expire_holds(limit=100_000)
    account = funded_account(100)
    holds = [hold_of(account, 1) for _ in range(3)]
    for age, hold in enumerate(holds):
        reserve(hold, ttl_ms=OVERDUE_MS - 1000 * age)

    assert expire_holds(limit=2) == 2

    assert [Hold.objects.get(id=hold.id).status for hold in holds] == ["HELD", "EXPIRED", "EXPIRED"]


@pytest.mark.parametrize(
    ("progress", "cost", "answer", "codes"),
    [
        (12, 20, Settled(20, 10, 0, first=True), [("SETTLE_FIX", 8)]),
        (12, 12, Settled(12, 18, 0, first=True), []),
        (12, 5, Settled(5, 25, 0, first=True), [("SETTLE_FIX", 7)]),
        (0, 0, Settled(0, 30, 0, first=True), []),
        (12, 110, Settled(100, 0, 10, first=True), [("SETTLE_FIX", 88), ("ABSORB_FIX", 10)]),
        (130, 120, Settled(100, 0, 20, first=True), [("ABSORB_FIX", 10)]),
        (130, 90, Settled(90, 0, 0, first=True), [("SETTLE_FIX", 10), ("ABSORB_FIX", 30)]),
    ],
)
def test_a_settlement_after_the_expiry_brings_the_charge_to_the_cost_once(
    progress: int, cost: int, answer: Settled, codes: list[tuple[str, int]]
) -> None:
    account = funded_account(100)
    hold = hold_of(account, 30)
    reserve(hold, ttl_ms=MINUTE_MS)
    renew([(account, hold.id, progress)], ttl_ms=OVERDUE_MS)
    expire_holds(limit=1000)
    before = entries(account)

    first, second = settle(settlement_of(hold, cost)), settle(settlement_of(hold, cost))

    assert first == answer
    assert second == Settled(answer.charged, answer.released, answer.absorbed, first=False)
    assert sorted(entries(account)[len(before) :]) == sorted(codes)
    after = balance(account)
    assert (after.spent, after.held, after.absorbed) == (answer.charged, 0, answer.absorbed)
    assert check_identities(account) == []


def test_the_events_of_a_corrected_hold_add_up_to_its_charge() -> None:
    account = funded_account(100)
    hold = hold_of(account, 30)
    reserve(hold, ttl_ms=MINUTE_MS)
    renew([(account, hold.id, 12)], ttl_ms=OVERDUE_MS)
    expire_holds(limit=1000)

    settle(settlement_of(hold, 5))

    data = list(OutboxEvent.objects.filter(aggregate_id=account).order_by("occurred_at").values_list("data", flat=True))
    assert [event["charged"] for event in data] == [12, -7]
    assert [event["held"] for event in data] == [30, 0]
    assert [event["corrects"] for event in data] == [None, str(hold.id)]
    assert [event["outcome"] for event in data] == ["expired", "completed"]
    assert [event["cost_micro"] for event in data] == [0, 13]


def test_a_released_hold_has_an_event_that_costs_nothing() -> None:
    hold = hold_of(funded_account(100), 30)
    reserve(hold, ttl_ms=MINUTE_MS)

    settle(released(hold))

    event = OutboxEvent.objects.get(id=hold.id)
    assert Hold.objects.get(id=hold.id).status == "RELEASED"
    assert (event.type, event.version, event.aggregate_type) == ("token-usage", 1, "account")
    assert (event.traceparent, event.aggregate_id) == (hold.facts.traceparent, hold.account)
    assert (event.data["charged"], event.data["cost_micro"], event.data["outcome"]) == (0, 0, "upstream_error")


def test_a_balance_without_its_evidence_is_found() -> None:
    account = funded_account(100)
    hold = hold_of(account, 30)
    reserve(hold, ttl_ms=MINUTE_MS)

    Hold.objects.filter(id=hold.id).update(amount=29)

    assert check_identities(account) == [Difference(account, "held (holds)", 30, 29)]
    assert check_identities() == check_identities(account)


def test_statements_per_operation_do_not_grow(
    django_assert_num_queries: Callable[[int], CaptureQueriesContext],
) -> None:
    account = funded_account(100)
    holds = [hold_of(account, 2) for _ in range(10)]
    savepoint = 2  # the test's own transaction makes one of each operation's

    with django_assert_num_queries(2 + savepoint):
        reserve(holds[0], ttl_ms=MINUTE_MS)
    for hold in holds[1:]:
        reserve(hold, ttl_ms=MINUTE_MS)
    with django_assert_num_queries(1 + savepoint):
        renew([(account, hold.id, 1) for hold in holds], ttl_ms=MINUTE_MS)
    with django_assert_num_queries(5 + savepoint):
        settle(settlement_of(holds[0], 200))
    make_overdue(holds[1])
    expire_holds(limit=100_000)
    with django_assert_num_queries(1 + savepoint):
        expire_holds(limit=100_000)
    with django_assert_num_queries(1):
        balances_of("user", uuid4())
