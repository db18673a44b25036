"""A request explained: to whoever paid by the API, to operators by the command and the console."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from django.conf import settings as live_settings
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.test import Client

from apps.accounts.models import User
from apps.core.ids import uuid7
from apps.quotas.api import Hold, reserve, settle
from tests.integration.quotas.callers import Calls, funded, organisation, somebody
from tests.integration.quotas.payers import MINUTE_MS, facts, settlement_of

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.urls("tests.integration.quotas.token_urls"),
    pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864"),
]
AT = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _serving_token(settings: Any) -> None:
    settings.SERVICES = ["token"]


@pytest.fixture
def cache() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(live_settings.REDIS_URL) as client:
        yield client


def _refuse(cache: redis.Redis, kind: str, payer: UUID, request_id: str = "", **other: Any) -> str:
    """Leave the trace of a refusal, as the gateway does; its request id."""
    request_id = request_id or f"req_{uuid4().hex}"
    trace = {
        "request_id": request_id, "at": AT.isoformat(), "payer_kind": kind, "payer_id": str(payer),
        "provider": "openai", "model": "gpt-4o-mini", "key_id": "k123456789", "status": 429,
        "code": "rate_limit_exceeded", "message": "Too many tokens.",
        "limit": {
            "name": "bucket", "value": 1000, "used": 950, "held": None, "needed": 100, "passes_in_ms": 5000,
            "passes_at": "2026-11-28T12:00:05+00:00",
        },
    } | other  # fmt: skip
    cache.hset(f"refusal:{request_id}", f"{kind}:{payer}", json.dumps(trace))
    return request_id


def _admit(account: UUID, request_id: str = "") -> str:
    hold = Hold(uuid7(), account, 100, replace(facts(), request_id=request_id or f"req_{uuid4().hex}"))
    reserve(hold, ttl_ms=MINUTE_MS)
    settle(settlement_of(hold, 42))
    return hold.facts.request_id


def test_a_refusal_says_which_limit_and_when_it_would_have_passed(cache: redis.Redis, owner: Calls) -> None:
    request_id = _refuse(cache, "user", owner.id)
    status, body = owner.get(f"requests/{request_id}/explanation")

    assert status == 200
    assert body["requestId"] == request_id
    (call,) = body["calls"]
    assert (call["decision"], call["httpStatus"], call["code"]) == ("refused", 429, "rate_limit_exceeded")
    assert call["limit"] == {
        "name": "bucket", "value": 1000, "used": 950, "held": None, "needed": 100, "passesInMs": 5000,
        "passesAt": "2026-11-28T12:00:05Z",
    }  # fmt: skip
    what, code = "gpt-4o-mini at openai", "rate_limit_exceeded"
    assert call["sentences"] == [
        f"2026-11-28 12:00:00.000 UTC: a call of {what} for the user {owner.id} was refused with 429 {code}.",
        "The caller was told: Too many tokens.",
        "The limit was bucket: 1,000.",
        "At that moment 950 were used, the call needed 100.",
        "If nobody else had called, it would have passed at 2026-11-28 12:00:05.000 UTC.",
        "Nothing was held or charged for it.",
    ]


def test_an_admitted_call_is_told_from_hold_to_event(owner: Calls) -> None:
    request_id = _admit(funded("user", owner.id, 1000))
    _status, body = owner.get(f"requests/{request_id}/explanation")

    (call,) = body["calls"]
    assert (call["decision"], call["httpStatus"], call["code"], call["limit"]) == ("admitted", 200, "completed", None)
    told = " ".join(call["sentences"])
    for words in (
        "100 tokens were held for it under the reservation",
        "because it was answered in full",
        "42 tokens were charged and 58 given back.",
        "HOLD 100 from available to held; SETTLE 42 from held to spent; RELEASE 58 from held to available",
        "Used: 20 tokens in (4 cached), 16 out, as the provider reported it.",
    ):
        assert words in told


def test_a_request_id_used_twice_is_told_twice(cache: redis.Redis, owner: Calls) -> None:
    request_id = _refuse(cache, "user", owner.id)
    _admit(funded("user", owner.id, 1000), request_id)
    _status, body = owner.get(f"requests/{request_id}/explanation")

    assert sorted(call["decision"] for call in body["calls"]) == ["admitted", "refused"]


def test_only_whoever_pays_is_told(cache: redis.Redis, owner: Calls) -> None:
    member, stranger, operator = somebody(), somebody(), somebody(admin=True)
    org = organisation(owner=owner, member=member)
    own, paid = _refuse(cache, "user", owner.id), _refuse(cache, "org", org)
    admitted = _admit(funded("org", org, 1000))

    def answers(request_id: str) -> list[int]:
        return [calls.get(f"requests/{request_id}/explanation")[0] for calls in (owner, member, stranger, operator)]

    assert answers(own) == [200, 404, 404, 200]
    assert answers(paid) == answers(admitted) == [200, 200, 404, 200]
    assert answers("req_nobody") == answers("x" * 65) == [404, 404, 404, 404]


def test_who_repeats_the_request_id_of_another_hides_nothing(cache: redis.Redis, owner: Calls) -> None:
    request_id = _refuse(cache, "user", owner.id)
    _refuse(cache, "user", somebody().id, request_id, code="insufficient_quota")

    status, body = owner.get(f"requests/{request_id}/explanation")

    assert (status, [call["code"] for call in body["calls"]]) == (200, ["rate_limit_exceeded"])


@pytest.mark.parametrize("trace", [b"", b"{}", b"[1]", b"nonsense", b'{"request_id": 1, "at": "soon"}'])
def test_a_broken_trace_is_no_trace(cache: redis.Redis, owner: Calls, trace: bytes) -> None:
    request_id = f"req_{uuid4().hex}"
    cache.hset(f"refusal:{request_id}", f"user:{owner.id}", trace)

    assert owner.get(f"requests/{request_id}/explanation")[0] == 404


def test_without_the_cache_what_the_ledger_knows_is_told(owner: Calls, settings: Any, nowhere: None) -> None:
    request_id = _admit(funded("user", owner.id, 1000))

    assert owner.get(f"requests/{request_id}/explanation")[0] == 200


@pytest.fixture
def nowhere(settings: Any) -> Iterator[None]:
    """A cache that nobody serves."""
    from apps.quotas import refusals  # noqa: PLC0415 (its client is made anew)

    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    refusals.client.cache_clear()
    yield
    refusals.client.cache_clear()


def test_the_command_tells_it(cache: redis.Redis, owner: Calls) -> None:
    request_id = _refuse(cache, "user", owner.id, limit=None, code="account_suspended", status=402)
    said = io.StringIO()
    call_command("explain", request_id, stdout=said)

    assert "was refused with 402 account_suspended." in said.getvalue()
    with pytest.raises(CommandError, match="Nothing is known of it"):
        call_command("explain", "req_nobody")


@pytest.mark.urls("tests.integration.quotas.console_urls")
def test_the_console_tells_it(client: Client, cache: redis.Redis, owner: Calls) -> None:
    client.force_login(User.objects.create_superuser("operator", "operator@example.com", "a password"))
    refused, admitted = _refuse(cache, "user", owner.id), _admit(funded("user", owner.id, 1000))

    def page(term: str) -> str:
        answer = client.get("/admin/quotas/explainedrequest/", {"q": term})
        assert answer.status_code == 200
        return answer.content.decode()

    assert "would have passed at 2026-11-28 12:00:05.000 UTC" in page(refused)
    assert "42 tokens were charged" in page(admitted)
    assert "Nothing is known of it" in page("<script>")
    assert "<script>" not in page("<script>").split("</head>")[1].replace("<script src", "")
    assert "Why a call was refused" in page("")


@pytest.mark.urls("tests.integration.quotas.console_urls")
def test_the_console_tells_it_only_to_who_may_see_calls(client: Client) -> None:
    clerk = User.objects.create_user("clerk", "clerk@example.com", "a password", is_staff=True)
    client.force_login(clerk)
    assert client.get("/admin/quotas/explainedrequest/").status_code == 403

    clerk.user_permissions.add(Permission.objects.get(codename="view_explainedrequest"))
    assert client.get("/admin/quotas/explainedrequest/").status_code == 200


@pytest.fixture
def owner() -> Calls:
    return somebody()
