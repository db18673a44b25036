"""Orders of tokens in the console: one operator orders, another approves, and nobody edits."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from apps.accounts.models import User
from apps.quotas.api import account_id, balance
from apps.quotas.models import Order, Transfer
from tests.integration.providers.catalogue_rows import acme
from tests.integration.quotas.payers import funded_account

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.quotas.console_urls")]

LARGE = 10_000_001


def _operator(name: str, *permissions: str) -> Client:
    user = User.objects.create_user(name, f"{name}@example.com", "a password", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def ann() -> Client:
    """May order, approve and look."""
    return _operator("ann", "view_order", "add_order", "approve_order", "view_account")


@pytest.fixture
def bob() -> Client:
    return _operator("bob", "view_order", "add_order", "approve_order")


def _order(client: Client, payer: UUID, amount: int, **fields: Any) -> str:
    form = {
        "kind": "GRANT", "payer_kind": "user", "payer_id": str(payer), "provider": "openai", "tokens": amount,
        "reason": "goodwill", "expires_at_0": "", "expires_at_1": "",
    }  # fmt: skip
    answer = client.post("/admin/quotas/order/add/", form | fields, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def _decide(client: Client, action: str, order: Order, *, confirmed: bool = True) -> str:
    form = {"action": action, "_selected_action": [str(order.pk)], "reason": "as agreed"}
    if confirmed:
        form["confirmed"] = "yes"
    return client.post("/admin/quotas/order/", form, follow=True).content.decode()


def test_a_small_order_is_done_at_once(ann: Client) -> None:
    account = balance(funded_account(5))
    said = _order(ann, account.payer_id, 1_234_567)
    assert "Done: Grant 1,234,567 openai tokens" in said
    assert "was added successfully" not in said
    assert balance(account.id).available == 1_234_572
    assert Transfer.objects.filter(account_id=account.id, actor="ann", reason="goodwill").count() == 1


def test_a_large_order_is_approved_by_somebody_else(ann: Client, bob: Client) -> None:
    account = balance(funded_account(5))
    said = _order(ann, account.payer_id, LARGE)
    assert "Waiting for a second person" in said
    order = Order.objects.get()
    assert "Somebody else decides" in _decide(ann, "approve", order)
    assert "Yes, do it" in _decide(bob, "approve", order, confirmed=False)
    assert balance(account.id).granted == 5, "nothing before both have said so"
    assert "Done: Grant" in _decide(bob, "approve", order)
    assert balance(account.id).granted == LARGE + 5
    assert "already" in _decide(bob, "approve", order)
    assert balance(account.id).granted == LARGE + 5
    page = ann.get(f"/admin/quotas/order/{order.pk}/change/").content.decode()
    assert all(word in page for word in ("10,000,001", "goodwill", "bob", "ann", "DONE"))


def test_a_rejection_says_why(ann: Client, bob: Client) -> None:
    _order(ann, balance(funded_account(5)).payer_id, LARGE)
    _decide(bob, "reject", Order.objects.get())
    order = Order.objects.get()
    assert (order.status, order.outcome) == ("REJECTED", "as agreed")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"reason": ""}, "This field is required"),
        ({"tokens": "0"}, "A grant lies within"),
        ({"kind": "REVOKE", "tokens": "-5"}, "A revocation lies within"),
        ({"kind": "REVOKE", "expires_at_0": "2100-01-01", "expires_at_1": "00:00"}, "Only what is granted can expire"),
        ({"expires_at_0": "2001-01-01", "expires_at_1": "00:00"}, "This is over already"),
        ({"payer_id": "nobody"}, "valid UUID"),
        ({"provider": "qwen"}, "There is no such payer"),
        ({"provider": "qwen", "kind": "REVOKE"}, "no account with that provider"),
        ({"provider": "qwen", "kind": "CORRECT", "tokens": "-5"}, "no account with that provider"),
    ],
)
def test_what_makes_no_sense_is_refused(ann: Client, fields: dict[str, str], said: str) -> None:
    account = balance(funded_account(5))
    assert said in _order(ann, account.payer_id, 5, **fields)
    assert not Order.objects.exists()


def test_a_first_gift_opens_the_account_of_somebody_with_a_provider(ann: Client) -> None:
    acme()
    user = User.objects.get(username="ann")
    assert "There is no such provider" in _order(ann, user.pk, 5, provider="none")
    assert "Done" in _order(ann, user.pk, 5, provider="acme")
    assert balance(account_id("user", user.pk, "acme")).available == 5
    assert "There is no such payer" in _order(ann, uuid4(), 5, provider="acme")
    assert "There is no such payer" in _order(ann, user.pk, 5, provider="acme", payer_kind="org")


def test_the_accounts_page_leads_to_an_order_that_is_filled_in(ann: Client) -> None:
    account = balance(funded_account(5))
    page = ann.get(f"/admin/quotas/account/{account.id}/change/").content.decode()
    path = f"/admin/quotas/order/add/?payer_kind=user&amp;payer_id={account.payer_id}&amp;provider=openai"
    assert path in page
    form = ann.get(path.replace("&amp;", "&")).context["adminform"].form
    assert [form[name].value() for name in ("payer_kind", "payer_id", "provider")] == [
        "user", str(account.payer_id), "openai",
    ]  # fmt: skip


def test_orders_are_found_by_their_ids_and_people_and_filtered(ann: Client) -> None:
    account = balance(funded_account(5))
    _order(ann, account.payer_id, 5)
    order = Order.objects.get()
    for term in (order.pk, account.id, account.payer_id, "ann"):
        assert _found(ann, q=str(term)) == [order], term
    assert _found(ann, q=str(uuid4())) == _found(ann, q="eve") == []
    assert _found(ann, status__exact="DONE", kind__exact="GRANT") == [order]
    assert _found(ann, status__exact="PENDING") == []


def test_nobody_edits_or_deletes_an_order(ann: Client) -> None:
    _order(ann, balance(funded_account(5)).payer_id, LARGE)
    order = Order.objects.get()
    root = Client()
    root.force_login(User.objects.create_superuser("root", "root@example.com", "a password"))
    page = f"/admin/quotas/order/{order.pk}"
    assert root.post(f"{page}/change/", {"tokens": 5}).status_code == 403
    assert root.post(f"{page}/delete/", {"post": "yes"}).status_code == 403
    assert 'name="_save"' not in root.get(f"{page}/change/").content.decode()


def test_who_may_what(bob: Client) -> None:
    viewer, orderer = _operator("viewer", "view_order"), _operator("orderer", "view_order", "add_order")
    payer = balance(funded_account(5)).payer_id
    assert viewer.get("/admin/quotas/order/add/").status_code == 403
    assert "add/" not in viewer.get("/admin/quotas/order/").content.decode()
    _order(bob, payer, LARGE)
    for client in (viewer, orderer):
        _decide(client, "approve", Order.objects.get())
        assert Order.objects.get().status == "PENDING"


def _found(client: Client, **query: str) -> list[Order]:
    answer = client.get("/admin/quotas/order/", query)
    assert answer.status_code == 200
    return list(answer.context["cl"].result_list)
