"""The trail in the console: found, readable, and changed by nobody."""

from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Permission
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.api import open_user
from apps.audit.api import Entry, Subject, record
from apps.core.acting import OPERATOR, PERSON, Actor, acting
from apps.providers.models import Provider
from apps.providers.services import save

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.console.urls")]

PAGE = "/admin/audit/entry/"
ADA = Actor(PERSON, id=str(uuid4()), name="ada", ip="192.0.2.7", request_id="req_ada")
OLGA = Actor(OPERATOR, id=str(uuid4()), name="olga", request_id="req_olga", reason="<b>as asked</b>")


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(open_user("operator", "operator@example.test", "a long enough password", operator=True))
    return client


def _entry(who: Actor, action: str = "model.changed", subject: str = "m1") -> UUID:
    before, after = {"max_output": 16_384, "enabled": True, "name": "a"}, {"max_output": 77, "enabled": False}
    with transaction.atomic(), acting(who):
        record(action, Subject(action.partition(".")[0], subject, uuid4()), before, after)
    return Entry.objects.get(actor_id=who.id, action=action, subject_id=subject).pk


def _found(client: Client, **query: str) -> set[UUID]:
    answer = client.get(PAGE, query)
    assert answer.status_code == 200
    return {row.pk for row in answer.context["cl"].result_list}


def test_it_is_in_the_menu(operator: Client) -> None:
    assert "Audit trail" in operator.get("/admin/").content.decode()


def test_entries_are_found_by_subject_actor_and_request(operator: Client) -> None:
    hers, theirs = _entry(ADA), _entry(OLGA, subject="m2")
    for term in ("m1", ADA.id, "ada", "req_ada", " req_ada "):
        assert _found(operator, q=term) == {hers}
    assert _found(operator, q="req_olga") == {theirs}
    for term in ("m", "nobody", "%"):
        assert _found(operator, q=term) == set()


def test_filters(operator: Client) -> None:
    hers, theirs = _entry(ADA), _entry(OLGA, "price.added")
    assert _found(operator, action="price", q="m1") == {theirs}
    assert _found(operator, action="model.changed", q="m1") == {hers}
    assert _found(operator, actor_kind="person", q="m1") == {hers}
    assert _found(operator, at__gte="2020-01-01 00:00:00+00:00", at__lt="2021-01-01 00:00:00+00:00") == set()


def test_a_change_is_readable(operator: Client) -> None:
    html = operator.get(f"{PAGE}{_entry(OLGA)}/change/").content.decode()
    assert '<th scope="row">max_output</th><td>16,384</td><td>77</td>' in html
    assert '<th scope="row">enabled</th><td>yes</td><td>no</td>' in html
    assert '<th scope="row">name</th><td>a</td><td>-</td>' in html
    assert "&lt;b&gt;as asked&lt;/b&gt;" in html
    assert "/admin/providers/model/m1/change/" in html
    assert "id_audit_reason" not in html


def test_nobody_adds_changes_or_deletes(operator: Client) -> None:
    entry = _entry(ADA)
    for path in ("add/", f"{entry}/delete/"):
        assert operator.post(f"{PAGE}{path}", {"post": "yes"}).status_code == 403
    assert operator.post(f"{PAGE}{entry}/change/", {"reason": "other"}).status_code == 403
    operator.post(PAGE, {"action": "delete_selected", "_selected_action": [str(entry)], "post": "yes"})
    assert Entry.objects.get(pk=entry).reason == ""


def test_whoever_may_not_read_it_does_not(client: Client) -> None:
    clerk = open_user("clerk", "clerk@example.test", "a long enough password")
    clerk.is_staff = True
    clerk.save()
    client.force_login(clerk)
    assert client.get(PAGE).status_code == 403
    clerk.user_permissions.add(Permission.objects.get(codename="view_entry"))
    assert client.get(PAGE).status_code == 200


def test_the_list_takes_as_many_queries_for_many_rows_as_for_few(operator: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            operator.get(PAGE)
        return len(asked)

    _entry(ADA)
    few = queries()
    for number in range(12):
        _entry(ADA, subject=f"m{number + 10}")
    assert queries() == few


def test_every_way_to_change_something_asks_why(operator: Client) -> None:
    save(Provider(slug="acme", name="Acme", allowed_parameters=["*"]))
    chosen = {"_selected_action": ["acme"]}
    page = "/admin/providers/provider/"
    for asking in (
        operator.get(f"{page}add/"),
        operator.get(f"{page}acme/change/"),
        operator.get(f"{page}acme/delete/"),
        operator.post(page, chosen | {"action": "disable"}),
        operator.post(page, chosen | {"action": "delete_selected"}),
    ):
        html = asking.content.decode()
        assert html.count('name="reason"') == 1
        assert "Kept in the audit trail" in html
