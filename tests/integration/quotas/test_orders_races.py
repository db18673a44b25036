"""Orders decided on by several people at once, and by a process that dies in the middle."""

import textwrap
from functools import partial
from uuid import UUID, uuid4

import pytest

from apps.accounts.models import User
from apps.quotas import orders
from apps.quotas.api import balance, check_identities
from apps.quotas.models import Order
from apps.quotas.orders import GRANT, REVOKE, OrderEnded, Wish
from tests.integration.quotas.payers import entries, funded_account
from tests.integration.quotas.test_kills import BEFORE, _blocked, _killed_while_waiting, _until_free
from tests.integration.quotas.threads import at_once

pytestmark = pytest.mark.usefixtures("committed")

LARGE = 10_000_001
APPROVE = """
from apps.quotas.orders import approve
approve(UUID("{order}"), UUID("{by}"))
"""


def _operator() -> User:
    name = f"op-{uuid4().hex[:12]}"
    return User.objects.create_user(name, f"{name}@example.com", "a password", is_staff=True)


def _waiting(account: UUID, kind: str = GRANT) -> Order:
    wish = Wish(kind, "user", balance(account).payer_id, "openai", LARGE, "goodwill")
    made = orders.order(wish, by=_operator().pk, name=f"op-{uuid4()}")
    assert made.status == "PENDING"
    return made


def test_of_many_approvals_at_once_one_counts() -> None:
    account = funded_account(5)
    made = _waiting(account)
    answers = at_once([partial(orders.approve, made.id, _operator().pk) for _ in range(8)])
    assert len([answer for answer in answers if isinstance(answer, Order)]) == 1
    assert len([answer for answer in answers if isinstance(answer, OrderEnded)]) == 7
    assert entries(account) == [("GRANT", 5), ("GRANT", LARGE)]


def test_an_approval_and_a_rejection_at_once_do_not_both_count() -> None:
    for _ in range(5):
        account = funded_account(5)
        made = _waiting(account)
        calls = [partial(decide, made.id, _operator().pk) for decide in (orders.approve, orders.reject)]
        (winner,) = [answer for answer in at_once(calls) if isinstance(answer, Order)]
        assert (winner.status == "DONE") == (balance(account).granted == LARGE + 5)


def test_small_orders_at_once_do_not_slip_through_together() -> None:
    account, by = funded_account(5), _operator()
    half = partial(Wish, GRANT, "user", balance(account).payer_id, "openai", 4_000_000, "goodwill")
    made = at_once([partial(orders.order, half(), by=by.pk, name=by.username) for _ in range(6)])
    statuses = sorted(order.status for order in made if isinstance(order, Order))
    assert statuses == ["DONE"] * 2 + ["PENDING"] * 4
    assert balance(account).granted == 8_000_005


def test_revocations_at_once_take_no_more_than_there_is() -> None:
    account = funded_account(100)
    payer = balance(account).payer_id
    calls = []
    for _ in range(8):
        by = _operator()
        wish = Wish(REVOKE, "user", payer, "openai", 30, "fraud")
        calls.append(partial(orders.order, wish, by=by.pk, name=by.username))
    made = [order for order in at_once(calls) if isinstance(order, Order)]
    assert sum(order.moved for order in made) == 100
    assert sorted(order.status for order in made) == ["DONE"] * 4 + ["FAILED"] * 4
    assert (balance(account).available, balance(account).refunded) == (0, 100)
    assert check_identities(account) == []


@pytest.mark.parametrize("before", ["the first transfer", "the event"])
def test_an_approval_killed_between_statements_has_done_nothing(before: str) -> None:
    account, by = funded_account(5), _operator()
    made = _waiting(account)

    with _blocked(BEFORE[before]) as owner:
        _killed_while_waiting(owner, textwrap.dedent(APPROVE).format(order=made.id, by=by.pk))

    _until_free(account)
    made.refresh_from_db()
    assert (made.status, made.decided_by, entries(account)) == ("PENDING", None, [("GRANT", 5)])
    assert orders.approve(made.id, by.pk).status == "DONE"
    assert entries(account) == [("GRANT", 5), ("GRANT", LARGE)]
