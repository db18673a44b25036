"""``GET /api/v1/audit``: an organisation's owners and admins read what happened to it, and nobody else does."""

import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import transaction
from django.test import Client

from apps.accounts.api import open_user
from apps.audit.api import Entry, Subject, record
from apps.core.acting import OPERATOR, PERSON, Actor, acting
from apps.core.http import internal_token
from apps.core.http.caller import ALL_SCOPES, API_KEY, JWT, KEY_SCOPES, Caller
from apps.orgs.api import join, open_organisation
from apps.orgs.models import Organisation

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.urls("tests.integration.audit.urls"),
    # The gateway's internal token is signed with this algorithm, whose name RFC 9864 narrows to Ed25519.
    pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864"),
]

PATH = "/api/v1/audit"


@pytest.fixture(autouse=True)
def _serving_auth(settings: Any) -> None:
    settings.SERVICES = ["auth"]


@pytest.fixture
def org() -> Organisation:
    return open_organisation(f"o{uuid4().hex[:12]}", "Engines")


def _member(org: Organisation | None, role: str = "member") -> Caller:
    name = f"u{uuid4().hex[:12]}"
    user = open_user(name, f"{name}@example.test", "a long enough password")
    if org is not None:
        join(org, user.pk, role)
    return Caller(JWT, user.pk, ("USER",), ALL_SCOPES)


def _admin() -> Caller:
    return Caller(JWT, uuid4(), ("ADMIN", "USER"), ALL_SCOPES)


def _ask(client: Client, caller: Caller | None, **query: Any) -> tuple[int, dict[str, Any]]:
    headers = {}
    if caller is not None:
        key = internal_token.signing_key(os.environ["GATEWAY_INTERNAL_KEY"])
        headers[internal_token.HEADER] = internal_token.issue(caller, "auth", key, "req_1")
    answer = client.get(PATH, query, headers=headers)
    return answer.status_code, answer.json()


def _entries(org_id: UUID | None, *names: str, who: Actor | None = None) -> Sequence[Entry]:
    """Entries about things of these names, oldest first."""
    with transaction.atomic(), acting(who or Actor(PERSON, id=str(uuid4()), name="ada", ip="192.0.2.7")):
        for name in names:
            record("thing.made", Subject("thing", name, org_id), None, {"name": name})
    return list(Entry.objects.filter(subject_kind="thing", subject_id__in=names).order_by("at", "id"))


def _subjects(body: dict[str, Any]) -> list[str]:
    return [item["subject"]["id"] for item in body["items"] if item["subject"]["kind"] == "thing"]


@pytest.mark.parametrize("role", ["admin", "owner"])
def test_admins_and_owners_read_their_organisations_entries(client: Client, org: Organisation, role: str) -> None:
    _entries(uuid4(), "another organisation's")
    _entries(None, "nobody's")
    (entry,) = _entries(org.pk, "ours")
    status, body = _ask(client, _member(org, role), orgId=str(org.pk), action="thing.made")
    assert (status, body["next"]) == (200, None)
    (item,) = body["items"]
    assert item == {
        "id": str(entry.pk), "at": entry.at.isoformat().replace("+00:00", "Z"), "action": "thing.made",
        "actor": {"kind": "person", "id": entry.actor_id, "name": "ada", "ip": "192.0.2.7"},
        "subject": {"kind": "thing", "id": "ours"}, "orgId": str(org.pk), "before": None, "after": {"name": "ours"},
        "reason": "", "requestId": "",
    }  # fmt: skip


def test_members_may_not_and_strangers_do_not_find_it(client: Client, org: Organisation) -> None:
    assert _ask(client, _member(org), orgId=str(org.pk))[0] == 403
    assert _ask(client, _member(None), orgId=str(org.pk))[0] == 404
    assert _ask(client, _member(None), orgId=str(uuid4()))[0] == 404
    assert _ask(client, None, orgId=str(org.pk))[0] == 401


def test_a_credential_of_another_organisation_or_without_the_scope_is_refused(
    client: Client, org: Organisation
) -> None:
    user = _member(org, "owner").user_id
    status, body = _ask(client, Caller(API_KEY, user, ("USER",), KEY_SCOPES), orgId=str(org.pk))
    assert (status, body["code"]) == (403, "insufficient_scope")
    bound = Caller(API_KEY, user, ("USER",), ALL_SCOPES, org_id=uuid4())
    assert _ask(client, bound, orgId=str(org.pk))[0] == 404


def test_the_role_admin_reads_everything_and_sees_where_operators_work(client: Client, org: Organisation) -> None:
    operator = Actor(OPERATOR, id=str(uuid4()), name="olga", ip="198.51.100.9")
    _entries(org.pk, "ours", who=operator)
    _entries(None, "nobody's", who=operator)
    status, body = _ask(client, _admin(), actor=operator.id)
    assert (status, set(_subjects(body))) == (200, {"nobody's", "ours"})
    assert {item["actor"]["ip"] for item in body["items"]} == {"198.51.100.9"}
    _, body = _ask(client, _member(org, "admin"), orgId=str(org.pk), actor=operator.id)
    assert [item["actor"] for item in body["items"]] == [
        {"kind": "operator", "id": operator.id, "name": "olga", "ip": ""}
    ]
    status, body = _ask(client, _member(org, "owner"))
    assert (status, body["errors"][0]["field"]) == (400, "orgId")


def test_filters(client: Client, org: Organisation) -> None:
    owner = _member(org, "owner")
    first, second, third = _entries(org.pk, "one", "two", "three")

    def found(**query: Any) -> set[str]:
        """As a set: entries of one millisecond have no order."""
        status, body = _ask(client, owner, orgId=str(org.pk), **query)
        assert status == 200
        return set(_subjects(body))

    assert found() == {"one", "two", "three"}
    assert found(subject="two") == {"two"}
    assert found(actor=first.actor_id) == {"one", "two", "three"}
    assert found(actor="somebody else") == set()
    assert found(action="thing.unmade") == set()
    assert found(**{"from": second.at.isoformat()}) == {"two", "three"}
    assert found(to=second.at.isoformat()) == {"one", "two"}
    assert found(**{"from": second.at.isoformat(), "to": second.at.isoformat()}) == {"two"}
    assert found(**{"from": (third.at + timedelta(seconds=1)).isoformat()}) == set()


NOW = datetime.fromisoformat("2026-01-31T12:00:00+00:00")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": NOW.isoformat(), "to": (NOW - timedelta(seconds=1)).isoformat()}, "from"),
        ({"from": "yesterday"}, "from"),
        ({"to": "2026-13-01T00:00:00Z"}, "to"),
        ({"to": "0001-01-01T00:00:00+14:00"}, "to"),
        ({"action": "x" * 65}, "action"),
        ({"actor": "a\x00b"}, "actor"),
        ({"subject": ""}, "subject"),
        ({"sort": "at"}, "sort"),
        ({"org_id": str(uuid4())}, "org_id"),
        ({"orgId": "engines"}, "orgId"),
    ],
)
def test_a_wrong_parameter_is_named(client: Client, org: Organisation, query: dict[str, str], field: str) -> None:
    status, body = _ask(client, _member(org, "owner"), **({"orgId": str(org.pk)} | query))
    assert (status, body["errors"][0]["field"]) == (400, field)


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "201"}, {"limit": "many"}, {"cursor": "forged"}])
def test_a_wrong_page_is_refused(client: Client, org: Organisation, query: dict[str, str]) -> None:
    assert _ask(client, _member(org, "owner"), orgId=str(org.pk), **query)[0] == 400


def test_pages_leave_nothing_out_and_repeat_nothing_while_entries_come(client: Client, org: Organisation) -> None:
    owner, names = _member(org, "owner"), [f"thing {number}" for number in range(7)]
    _entries(org.pk, *names)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        status, body = _ask(client, owner, orgId=str(org.pk), action="thing.made", limit="3", **cursor)
        assert status == 200
        assert len(body["items"]) <= 3
        seen += _subjects(body)
        if body["next"] is None:
            break
        cursor = {"cursor": body["next"]}
        _entries(org.pk, f"later than {len(seen)}")
    assert sorted(seen) == sorted(names)
