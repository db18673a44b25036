"""Orders of tokens: with a reason, large ones with a second person, done once, and never more than there is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.db import ProgrammingError, transaction
from pytest_django import Settings

from apps.accounts.models import User
from apps.audit.models import Entry
from apps.core.acting import because
from apps.quotas import orders
from apps.quotas.api import account_id, balance, check_identities, reserve, settle
from apps.quotas.models import Lot, Order, Transfer
from apps.quotas.orders import CORRECT, GRANT, REVOKE, OrderEnded, OwnOrder, Wish
from tests.integration.quotas.payers import MINUTE_MS, entries, funded_account, hold_of, released, settlement_of

pytestmark = pytest.mark.django_db

LIMIT = 10_000_000
OVER = -1
"""Days after which an order's time is over when it is made."""

PAYER = uuid4()
ACCOUNT = account_id("user", PAYER, "openai")


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann", "ann@example.com", "a password", is_staff=True)


@pytest.fixture
def bob() -> User:
    return User.objects.create_user("bob", "bob@example.com", "a password", is_staff=True)


def _wish(tokens: int, kind: str = GRANT, payer: UUID = PAYER) -> Wish:
    return Wish(kind, "user", payer, "openai", tokens, "goodwill")


def _ordered(tokens: int, by: User, kind: str = GRANT, payer: UUID = PAYER) -> Order:
    return orders.order(_wish(tokens, kind, payer), by=by.pk, name=by.username)


def _payer_of(account: UUID) -> UUID:
    return balance(account).payer_id


def _actions() -> list[str]:
    return list(Entry.objects.order_by("id").values_list("action", flat=True))


def test_a_small_grant_is_done_at_once_by_one_person(ann: User) -> None:
    made = _ordered(LIMIT, ann)
    assert (made.status, made.moved, made.decided_by) == ("DONE", LIMIT, None)
    assert balance(ACCOUNT).available == LIMIT
    transfer = Transfer.objects.get(account_id=ACCOUNT)
    assert (transfer.ref, transfer.reason, transfer.actor) == (made.id, "goodwill", "ann")
    assert _actions() == ["order.requested", "account.granted"]
    assert set(Entry.objects.values_list("reason", flat=True)) == {"goodwill"}


def test_a_large_grant_waits_for_a_second_person(ann: User, bob: User) -> None:
    made = _ordered(LIMIT + 1, ann)
    assert made.status == "PENDING"
    assert not Transfer.objects.exists()
    with pytest.raises(OwnOrder):
        orders.approve(made.id, ann.pk)
    done = orders.approve(made.id, bob.pk)
    assert (done.status, done.decided_by, done.moved) == ("DONE", bob, LIMIT + 1)
    assert balance(ACCOUNT).granted == LIMIT + 1
    assert _actions() == ["order.requested", "order.approved", "account.granted"]


def test_many_small_grants_of_one_day_are_a_large_one(ann: User, bob: User) -> None:
    assert _ordered(LIMIT - 5, ann, payer=uuid4()).status == "DONE"
    assert _ordered(6, ann).status == "PENDING"
    assert _ordered(5, ann).status == "DONE", "what waits was not moved alone"
    assert _ordered(6, bob).status == "DONE", "each by their own"
    assert _ordered(1, ann).status == "PENDING"


def test_what_a_second_person_approved_does_not_count_as_moved_alone(ann: User, bob: User) -> None:
    orders.approve(_ordered(LIMIT + 1, ann).id, bob.pk)
    assert _ordered(LIMIT, ann).status == "DONE"


def test_a_limit_of_nothing_always_asks_a_second_person(ann: User, settings: Settings) -> None:
    settings.QUOTA_APPROVAL_TOKENS = 0
    assert _ordered(1, ann).status == "PENDING"


def test_a_rejected_order_moves_nothing_and_is_final(ann: User, bob: User) -> None:
    made = _ordered(LIMIT + 1, ann)
    with pytest.raises(OwnOrder):
        orders.reject(made.id, ann.pk)
    with because("too much"):
        rejected = orders.reject(made.id, bob.pk)
    assert (rejected.status, rejected.outcome, rejected.decided_by) == ("REJECTED", "too much", bob)
    for decide in (orders.approve, orders.reject):
        with pytest.raises(OrderEnded):
            decide(made.id, bob.pk)
    assert not Transfer.objects.exists()
    assert _actions() == ["order.requested", "order.rejected"]


def test_nobody_waits_for_ever(ann: User, bob: User, settings: Settings) -> None:
    late, other = _ordered(LIMIT + 1, ann), _ordered(LIMIT + 2, ann)
    settings.QUOTA_APPROVAL_DAYS = OVER
    assert orders.approve(late.id, bob.pk).status == "EXPIRED", "an approval that comes too late"
    assert orders.expire() == 1
    assert orders.expire() == 0
    assert set(Order.objects.values_list("status", "decided_by")) == {("EXPIRED", None)}
    assert Order.objects.filter(id=other.id).exists()
    assert not Transfer.objects.exists()
    assert _actions()[-2:] == ["order.expired", "order.expired"]


def test_an_order_made_again_with_its_id_is_the_same(ann: User) -> None:
    wish = _wish(5)
    made = [orders.order(wish, by=ann.pk, name="ann") for _ in range(2)]
    assert made[0] == made[1]
    assert balance(ACCOUNT).granted == 5
    assert Entry.objects.filter(action="order.requested").count() == 1


def test_a_grant_may_expire(ann: User) -> None:
    end = datetime(2100, 1, 1, tzinfo=UTC)
    given = replace(_wish(5), expires_at=end)
    orders.order(given, by=ann.pk, name="ann")
    _ordered(7, ann, CORRECT)
    lots = Lot.objects.filter(account_id=ACCOUNT).order_by("tokens")
    assert list(lots.values_list("kind", "expires_at", "remaining")) == [("grant", end, 5), ("correction", None, 7)]
    with pytest.raises(ValueError, match="only what is granted"):
        orders.order(replace(_wish(5, REVOKE), expires_at=end), by=ann.pk, name="ann")


def test_a_revocation_takes_what_lasts_longest(ann: User) -> None:
    for end in (datetime(2100, 1, 1, tzinfo=UTC), None):
        orders.order(replace(_wish(50), expires_at=end), by=ann.pk, name="ann")
    _ordered(60, ann, REVOKE)
    lots = Lot.objects.filter(account_id=ACCOUNT).order_by("expires_at")
    assert list(lots.values_list("remaining", flat=True)) == [40, 0]


def test_a_revocation_takes_what_is_available(ann: User) -> None:
    account = funded_account(100)
    made = _ordered(60, ann, REVOKE, _payer_of(account))
    now = balance(account)
    assert (made.status, made.moved, now.available, now.refunded) == ("DONE", 60, 40, 60)
    assert check_identities(account) == []
    assert _actions()[-1] == "account.revoked"


def test_a_revocation_never_takes_what_was_spent(ann: User) -> None:
    account = funded_account(100)
    hold = hold_of(account, 30)
    reserve(hold, ttl_ms=MINUTE_MS)
    settle(settlement_of(hold, 30))
    made = _ordered(100, ann, REVOKE, _payer_of(account))
    assert (made.status, made.moved) == ("DONE", 70)
    assert made.outcome == "30 tokens had been spent before they could be taken"
    assert balance(account).available == 0


def test_what_is_out_with_calls_is_taken_as_it_comes_back(ann: User) -> None:
    account = funded_account(100)
    first, second = hold_of(account, 30), hold_of(account, 20)
    for hold in (first, second):
        reserve(hold, ttl_ms=MINUTE_MS)
    made = _ordered(100, ann, REVOKE, _payer_of(account))
    assert (made.status, made.moved) == ("APPROVED", 50)
    assert made.outcome == "50 tokens are out with calls and will be taken as they come back"

    settle(released(first))
    assert orders.pursue() == 1
    made.refresh_from_db()
    assert (made.status, made.moved, balance(account).available) == ("APPROVED", 80, 0)

    settle(settlement_of(second, 15))
    assert (orders.pursue(), orders.pursue()) == (1, 0)
    made.refresh_from_db()
    assert (made.status, made.moved) == ("DONE", 85)
    assert made.outcome == "15 tokens had been spent before they could be taken"
    assert [amount for code, amount in entries(account) if code == "REVOKE"] == [50, 30, 5]
    assert check_identities(account) == []


def test_the_pursuit_ends(ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    account = funded_account(100)
    reserve(hold_of(account, 30), ttl_ms=MINUTE_MS)
    made = _ordered(100, ann, REVOKE, _payer_of(account))
    monkeypatch.setattr(orders, "PURSUIT", timedelta(days=OVER))
    orders.pursue()
    made.refresh_from_db()
    assert (made.status, made.moved) == ("DONE", 70)


def test_what_cannot_be_done_fails_and_says_why(ann: User, bob: User) -> None:
    nobody = _ordered(5, ann, REVOKE, uuid4())
    assert (nobody.status, nobody.outcome) == ("FAILED", "the payer has no such account")
    account = funded_account(5)
    payer = _payer_of(account)
    assert _ordered(5, ann, REVOKE, payer).status == "DONE"
    empty = _ordered(5, ann, REVOKE, payer)
    assert (empty.status, empty.outcome) == ("FAILED", "there was nothing to take")
    full = _ordered(9 * 10**15, ann, GRANT, payer)
    approved = orders.approve(full.id, bob.pk)
    assert (approved.status, approved.outcome) == ("FAILED", "the account cannot hold so much")
    assert balance(account).granted == 5
    assert _actions()[-1] == "order.failed"


def test_a_correction_goes_either_way(ann: User) -> None:
    assert _ordered(70, ann, CORRECT).status == "DONE"
    assert _ordered(-20, ann, CORRECT).moved == 20
    now = balance(ACCOUNT)
    assert (now.granted, now.available, now.refunded) == (70, 50, 20)


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        (_wish(0), "a grant lies within"),
        (_wish(-1), "a grant lies within"),
        (_wish(-1, REVOKE), "a revocation lies within"),
        (_wish(9 * 10**15 + 1), "a grant lies within"),
        (_wish(0, CORRECT), "a correction lies within"),
        (Wish(GRANT, "user", PAYER, "openai", 5, "  "), "a reason"),
    ],
)
def test_what_makes_no_sense_is_no_order(ann: User, wish: Wish, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        orders.order(wish, by=ann.pk, name="ann")
    assert not Order.objects.exists()


def test_the_database_keeps_what_was_ordered(ann: User, bob: User) -> None:
    made = _ordered(LIMIT + 1, ann)
    for change in ({"tokens": 5}, {"payer_id": uuid4()}, {"reason": "other"}, {"requested_by": bob}):
        with pytest.raises(ProgrammingError, match="as it was ordered"), transaction.atomic():
            Order.objects.filter(id=made.id).update(**change)
    with pytest.raises(ProgrammingError, match="orders are kept"), transaction.atomic():
        Order.objects.filter(id=made.id).delete()
    orders.approve(made.id, bob.pk)
    with pytest.raises(ProgrammingError, match="has ended"), transaction.atomic():
        Order.objects.filter(id=made.id).update(status="PENDING")
