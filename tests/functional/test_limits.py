"""A tier's limits at the gateway: each refusal says which, how far it was used, and when it would pass."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from django.conf import settings
from redis import Redis

from apps.limiter.api import Limiter
from apps.outbox.models import OutboxEvent
from tests.functional.payers import Oracle, Payer, eventually, of_tier, open_payer
from tests.functional.raw_client import send
from tests.functional.refusing import GOOD, PATH


@pytest.fixture
def call(gateway_url: str) -> Any:
    def call(payer: Payer, body: dict[str, Any] = GOOD, **orders: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {payer.key}"}
        headers |= {f"x-stub-{name.replace('_', '-')}": value for name, value in orders.items()}
        return httpx.post(gateway_url + PATH, json=body, headers=headers, timeout=60)

    return call


def trace_of(answer: httpx.Response) -> Any:
    with Redis.from_url(settings.REDIS_URL) as cache:
        (text,) = eventually(lambda: cache.hvals(f"refusal:{answer.headers['x-request-id']}"))
    return json.loads(text)


def test_requests_per_minute_are_told_and_refused_exactly(call: Any, committed: None) -> None:
    payer = of_tier(requests_per_minute=2)
    first, second, third = call(payer), call(payer), call(payer)
    told = [answer.headers["x-ratelimit-remaining-requests"] for answer in (first, second)]
    assert (first.status_code, told, first.headers["x-ratelimit-limit-requests"]) == (200, ["1", "0"], "2")
    assert (third.status_code, third.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    limit = third.json()["error"]["limit"]
    assert (limit["name"], limit["value"], limit["needed"]) == ("requests_per_minute", 2, 1)
    assert 0 < limit["passes_in_ms"] <= 30_000
    assert int(third.headers["retry-after-ms"]) == limit["passes_in_ms"]
    assert trace_of(third)["limit"]["name"] == "requests_per_minute"


def test_calls_at_once_are_limited(call: Any, gateway_url: str, committed: None) -> None:
    payer = of_tier(concurrency=1)
    assert call(payer).status_code == 200

    async def two() -> httpx.Response:
        first = await send(gateway_url, payer, tokens=5, orders={"chunk-delay-ms": 200})
        await first.head()
        second = await asyncio.to_thread(call, payer)
        await first.leave()
        return second

    refused = asyncio.run(two())
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "concurrency_limit_exceeded")
    assert (refused.json()["error"]["limit"]["value"], refused.json()["error"]["limit"]["used"]) == (1, 1)
    assert refused.headers["x-should-retry"] == "true"
    assert eventually(lambda: call(payer).status_code == 200)


def test_a_full_bucket_says_how_full_and_how_long(call: Any, committed: None) -> None:
    payer = of_tier(bucket_capacity=30, leak_rate=1)
    answers = [call(payer) for _ in range(4)]
    refused = next(answer for answer in answers if answer.status_code == 429)
    limit = refused.json()["error"]["limit"]
    assert (limit["name"], limit["value"]) == ("tokens_in_bucket", 30)
    assert limit["used"] + limit["needed"] > 30
    assert limit["passes_in_ms"] == int(refused.headers["retry-after-ms"]) > 0
    assert str(limit["used"]) in refused.json()["error"]["message"]


def test_too_little_quota_says_what_there_is(call: Any, committed: None) -> None:
    payer = open_payer(tokens=5)
    refused = call(payer)
    error, trace = refused.json()["error"], trace_of(refused)
    assert (refused.status_code, error["code"]) == (429, "insufficient_quota")
    assert error["limit"] == {
        "name": "quota", "value": 5, "used": 0, "held": 0, "needed": error["limit"]["needed"], "passes_in_ms": None,
    }  # fmt: skip
    assert trace == {
        "request_id": refused.headers["x-request-id"], "at": trace["at"], "payer_kind": "user",
        "payer_id": str(payer.user_id), "provider": "openai", "model": "gpt-4o-mini", "key_id": trace["key_id"],
        "status": 429, "code": "insufficient_quota", "limit": error["limit"], "message": error["message"],
    }  # fmt: skip
    assert datetime.now(UTC) - datetime.fromisoformat(trace["at"]) < timedelta(minutes=1)


def test_refusals_are_counted_in_events_that_were_not_allowed(call: Any, committed: None) -> None:
    payer = open_payer(tokens=5)
    for _ in range(3):
        assert call(payer).status_code == 429
    assert eventually(lambda: denied(payer) == 3), denied(payer)


def denied(payer: Payer) -> int:
    """Refusals of a payer that analytics will see."""
    events = OutboxEvent.objects.filter(aggregate_id=payer.account).values_list("data", flat=True)
    return sum(event["count"] for event in events if event["allowed"] is False)


def test_a_shaped_call_waits_for_its_turn_as_long_as_it_was_told(call: Any, committed: None) -> None:
    payer = of_tier(bucket_capacity=15, leak_rate=4_000, mode="shape", max_wait_ms=10_000)
    assert call(payer).headers.get("x-leaky-wait-ms") is None
    began = time.monotonic()
    second = call(payer, delay_ms="0")
    waited = int(second.headers["x-leaky-wait-ms"])
    assert second.status_code == 200
    assert 0 < waited <= 1000 * (time.monotonic() - began)


def test_a_client_that_leaves_the_queue_costs_nothing_and_frees_its_place(
    call: Any, gateway_url: str, oracle: Oracle, committed: None
) -> None:
    payer = of_tier(bucket_capacity=35, leak_rate=1_000, mode="shape", max_wait_ms=60_000)
    assert call(payer).status_code == 200
    before = oracle.calls()

    async def leave_the_queue() -> None:
        waiting = await send(gateway_url, payer, tokens=5, cap=20)
        assert await asyncio.to_thread(eventually, lambda: is_held(payer))
        await waiting.leave()

    asyncio.run(leave_the_queue())
    assert eventually(lambda: not is_held(payer), seconds=3)
    assert oracle.calls() == before
    assert payer.settled().absorbed == 0


def is_held(payer: Payer) -> bool:
    """Whether a call of the payer's has tokens set aside. Asks Valkey alone, so threads may."""
    with Limiter(settings.QUOTA_REDIS_URL) as limiter:
        purse = limiter.purse(payer.account)
    return purse is not None and purse.reserved > 0
