"""Taking back what an account has lent to the quota store: recalled, and taken as the journal brings it back."""

from uuid import UUID, uuid4

import pytest

from apps.accounts.models import User
from apps.quotas import orders
from apps.quotas.api import balance, check_identities
from apps.quotas.models import Order
from apps.quotas.orders import REVOKE, Wish
from tests.integration.quotas.payers import entries, funded_account
from tests.integration.quotas.purses import Call, drained, filled

pytestmark = pytest.mark.usefixtures("without_loops", "committed")


def _revoked(account: UUID, tokens: int) -> Order:
    name = f"op-{uuid4().hex[:12]}"
    by = User.objects.create_user(name, f"{name}@example.com", "a password", is_staff=True)
    wish = Wish(REVOKE, "user", balance(account).payer_id, "openai", tokens, "fraud")
    return orders.order(wish, by=by.pk, name=name)


def _again(order: Order) -> Order:
    orders.pursue()
    order.refresh_from_db()
    return order


def test_what_a_purse_has_free_is_recalled_and_taken() -> None:
    account = funded_account(1000)
    part = filled(account, 100)
    order = _revoked(account, 1000)
    assert (order.status, order.moved) == ("APPROVED", 1000 - part.amount)
    assert drained(account) > 0, "the purse was asked at once"
    done = _again(order)
    assert (done.status, done.moved) == ("DONE", 1000)
    assert (balance(account).refunded, balance(account).available, balance(account).leased) == (1000, 0, 0)
    assert check_identities(account) == []


def test_a_call_under_way_ends_as_usual_and_only_its_rest_is_taken() -> None:
    account = funded_account(1000)
    call = Call(filled(account, 100), 60).taken()
    order = _revoked(account, 1000)
    drained(account)
    assert _again(order).moved == 940
    assert order.status == "APPROVED"

    call.settle(25)
    drained(account)
    _again(order)
    drained(account)  # what the call gave back was free in the purse, and recalled by the look before
    done = _again(order)
    assert (done.status, done.moved) == ("DONE", 975)
    assert done.outcome == "25 tokens had been spent before they could be taken"
    assert (balance(account).spent, balance(account).refunded) == (25, 975)
    assert sum(amount for code, amount in entries(account) if code == "REVOKE") == 975
    assert check_identities(account) == []


def test_a_store_that_is_away_delays_a_revocation_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    account = funded_account(1000)
    part = filled(account, 100)
    with monkeypatch.context() as patch:
        patch.setattr(orders, "recall", _away)
        order = _revoked(account, 1000)
        assert (order.status, order.moved) == ("APPROVED", 1000 - part.amount)
    _again(order)
    drained(account)
    assert (_again(order).status, order.moved) == ("DONE", 1000)


def _away(_account: UUID, _tokens: int) -> int:
    raise orders.StoreUnavailable("away")
