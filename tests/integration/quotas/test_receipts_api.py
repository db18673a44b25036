"""``/api/v1/receipts``: what calls cost, for whoever paid, and for nobody else."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core.ids import uuid7
from apps.quotas.api import Hold, expire_holds, reserve, settle
from tests.integration.quotas.callers import Calls, bound_key, funded, organisation, somebody
from tests.integration.quotas.payers import MINUTE_MS, facts, make_overdue, settlement_of

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.urls("tests.integration.quotas.token_urls"),
    pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864"),
]


@pytest.fixture(autouse=True)
def _serving_token(settings: Any) -> None:
    settings.SERVICES = ["token"]


def _call(account: UUID, *, request_id: str = "", org_id: UUID | None = None, settled: int | None = 42) -> Hold:
    """A call of 100 held tokens that cost ``settled``; None: it goes on."""
    known = replace(facts(), org_id=org_id, request_id=request_id or f"req_{uuid4().hex}")
    hold = Hold(uuid7(), account, 100, known)
    reserve(hold, ttl_ms=MINUTE_MS)
    if settled is not None:
        settle(settlement_of(hold, settled))
    return hold


def test_a_receipt_says_what_was_held_used_and_charged(owner: Calls, account: UUID) -> None:
    hold = _call(account)
    status, body = owner.get(f"receipts/{hold.id}")

    assert status == 200
    assert (body["held"], body["charged"], body["absorbed"], body["state"]) == (100, 42, 0, "settled")
    assert body["tokens"] == {"input": 20, "cachedInput": 4, "output": 16, "reasoning": 2}
    assert (body["outcome"], body["usageSource"], body["httpStatus"]) == ("completed", "provider", 200)
    assert (body["latencyMs"], body["firstByteMs"], body["costMicro"]) == (812, 230, 13)
    assert body["price"]["outputWeight"] == 4000
    assert (body["requestId"], body["orgId"], body["provider"]) == (hold.facts.request_id, None, "openai")
    moved = [(one["code"], one["from"], one["to"], one["tokens"]) for one in body["transfers"]]
    assert moved == [
        ("HOLD", "available", "held", 100), ("SETTLE", "held", "spent", 42), ("RELEASE", "held", "available", 58)
    ]  # fmt: skip


def test_a_call_under_way_has_no_ending_yet(owner: Calls, account: UUID) -> None:
    status, body = owner.get(f"receipts/{_call(account, settled=None).id}")

    assert (status, body["state"], body["outcome"], body["tokens"], body["endedAt"]) == (200, "held", None, None, None)


def test_a_corrected_expiry_shows_what_the_call_really_used(owner: Calls, account: UUID) -> None:
    hold = _call(account, settled=None)
    make_overdue(hold)
    expire_holds(limit=1000)
    settle(settlement_of(hold, 42))
    _status, body = owner.get(f"receipts/{hold.id}")

    assert (body["state"], body["charged"], body["outcome"], body["tokens"]["output"]) == (
        "settled",
        42,
        "completed",
        16,
    )


def test_whose_calls_one_may_see() -> None:
    owner, member, stranger, operator = somebody(), somebody(), somebody(), somebody(admin=True)
    org = organisation(owner=owner, member=member)
    paid = _call(funded("org", org, 1000), org_id=org).id
    own = _call(funded("user", owner.id, 1000)).id

    def answers(hold: UUID) -> list[int]:
        callers = (owner, member, operator, bound_key(owner, org), stranger, bound_key(member, org))
        return [calls.get(f"receipts/{hold}")[0] for calls in callers]

    assert answers(paid) == [200, 200, 200, 200, 404, 200]
    assert answers(own) == [200, 404, 200, 404, 404, 404]
    assert owner.get(f"receipts/{paid}")[1]["orgId"] == str(org)


@pytest.mark.parametrize("wrong", ["0f8fad5b-d9cb-469f-a165-70867728950e", "x", "1-1-1-1-1", "a'b"])
def test_what_is_not_there_looks_like_what_is_somebody_elses(owner: Calls, account: UUID, wrong: str) -> None:
    foreign = _call(funded("user", uuid4(), 1000)).id
    answers = [owner.get(f"receipts/{name}") for name in (wrong, foreign)]

    assert [(status, body["message"], body["code"]) for status, body in answers] == [
        (404, "not found", "not_found")
    ] * 2


def test_pages_hold_every_call_once_newest_first_over_all_providers(owner: Calls, account: UUID) -> None:
    other = funded("user", owner.id, 1000, provider="other")
    made = [str(_call(account if number % 2 else other).id) for number in range(7)]
    _call(funded("user", uuid4(), 1000))
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        _status, body = owner.get("receipts", limit=3, **cursor)
        seen += [item["id"] for item in body["items"]]
        if body["next"] is None:
            break
        cursor = {"cursor": body["next"]}

    assert seen == made[::-1]


def test_a_page_costs_the_same_number_of_queries_however_long_it_is(owner: Calls, account: UUID) -> None:
    for _ in range(4):
        _call(account)

    def queries(limit: int) -> int:
        with CaptureQueriesContext(connection) as seen:
            assert len(owner.get("receipts", limit=limit)[1]["items"]) == limit
        return len(seen)

    assert queries(1) == queries(4)


def test_filters_find_what_they_say(owner: Calls, account: UUID) -> None:
    other = funded("user", owner.id, 1000, provider="other")
    first, second = _call(account, request_id="mine"), _call(other)
    _call(funded("user", uuid4(), 1000), request_id="mine")
    taken = [datetime.fromisoformat(owner.get(f"receipts/{hold.id}")[1]["takenAt"]) for hold in (first, second)]

    def found(**query: Any) -> list[str]:
        status, body = owner.get("receipts", **query)
        assert status == 200
        return [item["id"] for item in body["items"]]

    assert found(request_id="mine") == found(provider="openai") == [str(first.id)]
    assert found(request_id="mine", provider="other") == found(request_id="nobody's") == []
    assert found(to=taken[0]) == [str(first.id)]
    assert found(from_=taken[1]) == [str(second.id)]
    assert found(from_=taken[0], to=taken[1]) == [str(second.id), str(first.id)]
    assert found(from_=datetime.now(UTC) + timedelta(hours=1)) == []


@pytest.mark.parametrize(
    "query",
    [{"limit": "0"}, {"cursor": "x"}, {"from": "yesterday"}, {"unknown": "1"}, {"orgId": "x"}, {"userId": ""}],
)
def test_wrong_parameters_are_told(owner: Calls, query: dict[str, str]) -> None:
    assert owner.get("receipts", **query)[0] == 400


@pytest.fixture
def owner() -> Calls:
    return somebody()


@pytest.fixture
def account(owner: Calls) -> UUID:
    return funded("user", owner.id, 10_000)
