"""What keeps the ledger right, in the console: seen, found, and acted on with a reason."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.audit.models import Entry
from apps.core.ids import uuid7
from apps.quotas.api import (
    close_spool,
    freeze_closing,
    ledger_state,
    register_spool,
    report_spool,
    reserve,
    thaw_closing,
)
from apps.quotas.domain import Budget as Limit
from apps.quotas.models import Budget, DaySeal, DeadEvent, Lease, Lot, Spool
from tests.integration.quotas.needs import leased
from tests.integration.quotas.payers import MINUTE_MS, funded_account, hold_of

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.quotas.console_urls")]

LISTS = ["lot", "lease", "budget", "spool", "deadevent", "dayseal", "control"]


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("operator", "operator@example.com", "a password"))
    return client


@pytest.fixture
def lease() -> Lease:
    """Forty of a thousand tokens, out on a lease."""
    part = leased(funded_account(1000), 10, run_id="run-1")
    return Lease.objects.get(account_id=part.account)


@pytest.fixture
def spool() -> str:
    name = f"gateway-{uuid4().hex}"
    report_spool(name, "host-1", oldest_age_ms=2_500, pending=7, as_of=register_spool(name, "host-1"))
    return name


def test_sealed_days_are_listed_found_and_shown(operator: Client) -> None:
    DaySeal.objects.create(day="2001-02-03", transfers=1234, digest=bytes(range(32)))

    assert bytes(range(32)).hex() in operator.get("/admin/quotas/dayseal/2001-02-03/change/").content.decode()
    for term, found in (("2001-02-03", True), ("2001-02-04", False), ("no day", False), ("", True)):
        listed = operator.get("/admin/quotas/dayseal/", {"q": term}).content.decode()
        assert ("1,234" in listed and bytes(range(8)).hex() in listed) is found, term


@pytest.fixture
def parked(lease: Lease) -> DeadEvent:
    return DeadEvent.objects.create(
        id=uuid7(), shard=7, journal="journal-1", entry="1-1", account_id=lease.account_id, fields={"kind": "Uw=="},
        error="no such hold", tries=5, state="PARKED", parked_at=lease.opened_at,
    )  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
def test_every_list_and_page_answers_and_edits_nothing(
    operator: Client, lease: Lease, spool: str, parked: DeadEvent, name: str
) -> None:
    Budget.objects.create(id="k123456789", spent=5)
    DaySeal.objects.create(day="2001-02-03", transfers=1234, digest=bytes(32))
    rows = operator.get(f"/admin/quotas/{name}/").context["cl"].result_list
    assert rows
    path = f"/admin/quotas/{name}/{rows[0].pk}"
    page = operator.get(f"{path}/change/")
    assert page.status_code == 200
    assert 'name="_save"' not in page.content.decode()
    assert operator.get(f"/admin/quotas/{name}/add/").status_code == 403
    assert operator.post(f"{path}/change/", {"state": "CLOSED"}).status_code == 403
    assert operator.post(f"{path}/delete/", {"post": "yes"}).status_code == 403


def test_an_accounts_page_leads_to_what_it_has_and_where_that_is(operator: Client, lease: Lease) -> None:
    page = operator.get(f"/admin/quotas/account/{lease.account_id}/change/").content.decode()
    for name in ("lot", "lease", "hold", "transfer", "order"):
        assert f"/admin/quotas/{name}/?q={lease.account_id}" in page, name
    assert _found(operator, "lease", str(lease.account_id)) == [lease.pk]
    assert _found(operator, "lease", str(lease.pk)) == [lease.pk]
    (lot,) = Lot.objects.filter(account_id=lease.account_id)
    assert _found(operator, "lot", str(lot.pk)) == _found(operator, "lot", str(lease.account_id)) == [lot.pk]
    assert _found(operator, "lease", "nobody") == _found(operator, "lot", "nobody") == []
    assert {lease.pk} <= set(_found(operator, "lease", state__exact="OPEN"))
    assert lease.pk not in _found(operator, "lease", state__exact="DOUBT")
    shown = operator.get(f"/admin/quotas/lease/{lease.pk}/change/").content.decode()
    assert all(word in shown for word in ("run-1", "OPEN", ">40<"))


def test_budgets_are_found_by_key_and_by_member(operator: Client) -> None:
    org, user = uuid4(), uuid4()
    ids = [f"member:{org}:{user}:*:2026-11-01", f"member:{org}:{user}:openai:2026-11-28", "k123456789"]
    account = funded_account(100)
    for number, budget_id in enumerate(ids, start=1):
        reserve(replace(hold_of(account, number), budgets=(Limit(budget_id, 1000),)), ttl_ms=MINUTE_MS)
    assert set(_found(operator, "budget", str(org))) == set(ids[:2])
    assert set(_found(operator, "budget", f"{org}:{user}")) == set(ids[:2])
    assert _found(operator, "budget", "k123456789") == ["k123456789"]
    assert _found(operator, "budget", str(user)) == []
    page = operator.get(f"/admin/quotas/budget/?q={org}").content.decode()
    assert all(word in page for word in ("2026-11-28", "openai", "all", f"/admin/orgs/organisation/{org}/change/"))


def test_a_lost_spool_is_written_off_with_a_reason_only(operator: Client, spool: str) -> None:
    assert "Yes, do it" in _act(operator, "spool", "write_off", spool, confirmed=False)
    assert "Yes, do it" in _act(operator, "spool", "write_off", spool, reason=" "), "asked again: there is no reason"
    assert Spool.objects.get(id=spool).state == "OPEN"
    assert "1 spools written off" in _act(operator, "spool", "write_off", spool)
    row = Spool.objects.get(id=spool)
    assert (row.state, row.reason, row.pending) == ("WRITTEN_OFF", "the disk is gone", 0)
    entry = Entry.objects.get(action="spool.written_off", subject_id=spool)
    assert (entry.reason, entry.actor_name) == ("the disk is gone", "operator")
    assert "0 spools written off" in _act(operator, "spool", "write_off", spool)


def test_spools_are_told_apart(operator: Client, spool: str) -> None:
    other = f"gateway-{uuid4().hex}"
    register_spool(other, f"host-{other}")
    close_spool(other)
    assert _found(operator, "spool", f"host-{other}") == _found(operator, "spool", other) == [other]
    assert other not in _found(operator, "spool", state__exact="OPEN")
    assert "2.5" in operator.get(f"/admin/quotas/spool/?q={spool}").content.decode()


def test_closing_is_thawed_with_a_reason(operator: Client) -> None:
    thaw_closing("before")
    freeze_closing("purses hold 5 tokens too many")
    assert "purses hold 5 tokens too many" in operator.get("/admin/quotas/control/").content.decode()
    assert "Yes, do it" in _act(operator, "control", "thaw", "1", reason="")
    assert ledger_state().closing_frozen
    _act(operator, "control", "thaw", "1")
    assert not ledger_state().closing_frozen
    assert Entry.objects.filter(action="ledger.closing_thawed", reason="the disk is gone").exists()


def test_whoever_may_only_look_cannot_act(spool: str) -> None:
    viewer = User.objects.create_user("viewer", "viewer@example.com", "a password", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__in=["view_spool", "view_control"]))
    client = Client()
    client.force_login(viewer)
    freeze_closing("a difference")
    _act(client, "spool", "write_off", spool)
    _act(client, "control", "thaw", "1")
    assert Spool.objects.get(id=spool).state == "OPEN"
    assert ledger_state().closing_frozen


def test_dead_events_are_found_and_read(operator: Client, parked: DeadEvent) -> None:
    for term in (parked.pk, parked.account_id, "1-1"):
        assert parked.pk in _found(operator, "deadevent", str(term))
    assert parked.pk in _found(operator, "deadevent", state__exact="PARKED")
    page = operator.get(f"/admin/quotas/deadevent/{parked.pk}/change/").content.decode()
    assert all(word in page for word in ("no such hold", "journal-1", "Uw==", "PARKED"))


@pytest.mark.parametrize(("action", "state"), [("discard", "DISCARDED"), ("replay", "PARKED")])
def test_dead_events_are_decided_on_with_a_reason(operator: Client, parked: DeadEvent, action: str, state: str) -> None:
    row = str(parked.pk)
    assert "Yes, do it" in _act(operator, "deadevent", action, row, confirmed=False)
    assert "Yes, do it" in _act(operator, "deadevent", action, row, reason="")
    said = _act(operator, "deadevent", action, row)
    parked.refresh_from_db()
    assert parked.state == state, "what cannot be booked still stays parked"
    assert ("Discarded: 7 1-1" in said) == (state == "DISCARDED")
    assert Entry.objects.filter(subject_id=row).count() == (1 if state == "DISCARDED" else 0)


@pytest.mark.parametrize("name", ["lot", "lease"])
def test_lists_take_as_many_queries_for_many_rows_as_for_few(operator: Client, lease: Lease, name: str) -> None:
    few = _queries(operator, name)
    for _ in range(8):
        leased(funded_account(1000), 10)
    assert _queries(operator, name) == few


def _queries(client: Client, name: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        client.get(f"/admin/quotas/{name}/")
    return len(queries)


def _found(client: Client, name: str, term: str = "", **query: Any) -> list[Any]:
    answer = client.get(f"/admin/quotas/{name}/", {"q": term, **query})
    assert answer.status_code == 200
    return [row.pk for row in answer.context["cl"].result_list]


def _act(
    client: Client, name: str, action: str, row: str, *, confirmed: bool = True, reason: str = "the disk is gone"
) -> str:
    form = {"action": action, "_selected_action": [row], "reason": reason} | ({"confirmed": "yes"} if confirmed else {})
    answer = client.post(f"/admin/quotas/{name}/", form, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()
