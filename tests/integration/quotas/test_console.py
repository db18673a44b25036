"""The ledger in the console: found, linked, and changed by nobody."""

from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.quotas.api import Hold as Taken
from apps.quotas.api import balance, reserve, settle
from apps.quotas.models import Transfer
from tests.integration.quotas.payers import MINUTE_MS, funded_account, hold_of, settlement_of

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.quotas.console_urls")]

LISTS = ["quotas/account", "quotas/hold", "quotas/transfer", "outbox/outboxevent"]


@pytest.fixture
def operator(client: Client) -> Client:
    user = User.objects.create_superuser("operator", "operator@example.com", "a password")
    client.force_login(user)
    return client


@pytest.fixture
def call() -> Taken:
    """A settled call of 1,200 tokens on a grant of 1,234,567."""
    hold = hold_of(funded_account(1_234_567), 2_000)
    reserve(hold, ttl_ms=MINUTE_MS)
    settle(settlement_of(hold, 1_200))
    return hold


@pytest.mark.parametrize("name", LISTS)
def test_every_list_answers(operator: Client, call: Taken, name: str) -> None:
    answer = operator.get(f"/admin/{name}/")

    assert answer.status_code == 200
    assert b'action="delete_selected"' not in answer.content
    assert b"/add/" not in answer.content


@pytest.mark.parametrize("name", ["quotas/account", "quotas/hold"])
def test_a_search_that_is_no_id_finds_nothing_and_does_not_fail(operator: Client, call: Taken, name: str) -> None:
    assert _found(operator, name, "nobody") == []


def test_accounts_are_found_by_their_id_and_their_payer(operator: Client, call: Taken) -> None:
    account = balance(call.account)
    funded_account(5)

    assert _found(operator, "quotas/account", str(account.id)) == [account.id]
    assert _found(operator, "quotas/account", str(account.payer_id)) == [account.id]


def test_calls_are_found_by_reservation_request_and_account(operator: Client, call: Taken) -> None:
    other = hold_of(funded_account(50), 5)
    reserve(other, ttl_ms=MINUTE_MS)

    for term in (call.id, call.facts.request_id, call.account):
        assert _found(operator, "quotas/hold", str(term)) == [call.id]
    for term in (call.id, call.facts.request_id):
        codes = Transfer.objects.filter(id__in=_found(operator, "quotas/transfer", str(term)))
        assert {transfer.code for transfer in codes} == {"HOLD", "SETTLE", "RELEASE"}
    assert len(_found(operator, "quotas/transfer", str(call.account))) == 4


def test_tokens_are_shown_with_separators(operator: Client, call: Taken) -> None:
    page = operator.get(f"/admin/quotas/account/{call.account}/change/").content.decode()

    assert "1,234,567" in page
    assert "1,233,367" in page
    assert f"/admin/quotas/transfer/?q={call.account}" in page


@pytest.mark.parametrize("name", LISTS)
def test_nobody_adds_changes_or_deletes(operator: Client, call: Taken, name: str) -> None:
    row = _row(operator, name)
    before = balance(call.account)

    for path in ("add/", f"{row}/delete/"):
        assert operator.get(f"/admin/{name}/{path}").status_code == 403
        assert operator.post(f"/admin/{name}/{path}", {"post": "yes"}).status_code == 403
    assert operator.post(f"/admin/{name}/{row}/change/", {"granted": 5, "amount": 5}).status_code == 403
    operator.post(f"/admin/{name}/", {"action": "delete_selected", "_selected_action": [row], "post": "yes"})

    assert balance(call.account) == before
    assert _row(operator, name) == row


def test_an_account_is_suspended_and_reopened(operator: Client, call: Taken) -> None:
    for action, suspended in (("suspend", True), ("reopen", False)):
        order = {"action": action, "_selected_action": [str(call.account)], "confirmed": "yes"}
        operator.post("/admin/quotas/account/", order)
        assert balance(call.account).suspended is suspended


def test_whoever_may_only_look_cannot_suspend(client: Client, call: Taken) -> None:
    user = User.objects.create_user("viewer", "viewer@example.com", "a password", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_account"))
    client.force_login(user)

    assert _found(client, "quotas/account", str(call.account)) == [call.account]
    client.post("/admin/quotas/account/", {"action": "suspend", "_selected_action": [str(call.account)]})

    assert balance(call.account).suspended is False


def test_lists_take_as_many_queries_for_many_rows_as_for_few(operator: Client, call: Taken) -> None:
    few = _queries(operator)
    for _ in range(12):
        hold = hold_of(call.account, 2)
        reserve(hold, ttl_ms=MINUTE_MS)
        settle(settlement_of(hold, 1))

    assert _queries(operator) == few


def _queries(client: Client) -> dict[str, int]:
    counts = {}
    for name in LISTS:
        with CaptureQueriesContext(connection) as queries:
            client.get(f"/admin/{name}/")
        counts[name] = len(queries)
    return counts


def _found(client: Client, name: str, term: str) -> list[UUID]:
    answer = client.get(f"/admin/{name}/", {"q": term})
    assert answer.status_code == 200
    return [row.pk for row in answer.context["cl"].result_list]


def _row(client: Client, name: str) -> UUID:
    row: UUID = client.get(f"/admin/{name}/").context["cl"].result_list[0].pk
    return row


def test_an_id_that_is_unknown_is_not_an_error(operator: Client) -> None:
    assert operator.get(f"/admin/quotas/hold/{uuid4()}/change/").status_code == 302
