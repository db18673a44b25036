"""``Idempotency-Key`` on model calls (RELIABILITY.md rows 79 to 83): one execution and one charge per key."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from django.conf import settings
from redis import Redis

from tests.functional.payers import Oracle, Payer, eventually, open_payer
from tests.functional.refusing import GOOD, PATH, Refused, insist

Post = Callable[..., httpx.Response]


@pytest.fixture
def post(gateway_url: str) -> Post:
    """Send a call of a payer's under a key; ``orders`` are the stub's."""

    def send(payer: Payer, key: str | None, body: dict[str, Any] = GOOD, **orders: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {payer.key}"} | ({} if key is None else {"idempotency-key": key})
        headers |= {f"x-stub-{name.replace('_', '-')}": value for name, value in orders.items()}
        return httpx.post(gateway_url + PATH, json=body, headers=headers, timeout=30)

    return send


def again(post: Post, payer: Payer, key: str, body: dict[str, Any] = GOOD) -> httpx.Response:
    """The second answer, once the first call is settled."""
    answers = iter(lambda: post(payer, key, body), None)
    return eventually(lambda: answer if (answer := next(answers)).headers.get("retry-after") is None else None)


@pytest.mark.parametrize(
    "keys",
    [["k" * 256], [""], ["a b"], ["schlüssel"], ["one", "two"]],
    ids=["long", "empty", "blank", "letters", "two"],
)
def test_a_key_that_is_none_is_refused(gateway_url: str, payer: Payer, oracle: Oracle, keys: list[str]) -> None:
    before = oracle.calls()
    headers = [("authorization", f"Bearer {payer.key}"), *(("idempotency-key", key.encode()) for key in keys)]
    answer = httpx.post(gateway_url + PATH, json=GOOD, headers=headers)
    insist(answer, Refused(400, "invalid_idempotency_key"))
    assert oracle.calls() == before


def test_a_finished_call_is_answered_again_and_charged_once(post: Post, payer: Payer, oracle: Oracle) -> None:
    key = uuid4().hex
    first = post(payer, key)
    reordered = dict(reversed(GOOD.items()))
    second = again(post, payer, key, reordered)
    assert (second.status_code, second.content) == (200, first.content)
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["x-reservation-id"] == first.headers["x-reservation-id"]
    assert "idempotent-replayed" not in first.headers
    assert oracle.lines(second.headers["x-request-id"]) == []
    assert payer.settled().spent == int(first.headers["x-charged-tokens"])


def test_another_body_under_the_same_key_is_refused(post: Post, payer: Payer) -> None:
    key = uuid4().hex
    assert post(payer, key).status_code == 200
    insist(post(payer, key, GOOD | {"max_tokens": 6}), Refused(422, "idempotency_mismatch"))


def test_another_account_is_independent(post: Post, payer: Payer) -> None:
    key, other = uuid4().hex, open_payer(tokens=1_000)
    first, second = post(payer, key), post(other, key)
    assert (first.status_code, second.status_code) == (200, 200)
    assert "idempotent-replayed" not in second.headers


def test_a_stream_is_carried_out_once_and_its_answer_is_not_kept(post: Post, payer: Payer) -> None:
    key, body = uuid4().hex, GOOD | {"stream": True}
    assert post(payer, key, body).status_code == 200
    spent = payer.settled().spent
    insist(again(post, payer, key, body), Refused(409, "idempotency_result_unavailable"))
    assert payer.settled().spent == spent


def test_a_call_that_the_provider_failed_may_be_tried_again(post: Post, payer: Payer) -> None:
    key = uuid4().hex
    assert post(payer, key, fault="status=503").status_code == 503
    second = again(post, payer, key)
    assert (second.status_code, second.headers.get("idempotent-replayed")) == (200, None)


def test_while_the_first_runs_the_second_is_told_to_wait(gateway_url: str, post: Post, payer: Payer) -> None:
    key = uuid4().hex
    headers = {"authorization": f"Bearer {payer.key}", "idempotency-key": key, "x-stub-chunk-delay-ms": "300"}
    with httpx.stream("POST", gateway_url + PATH, json=GOOD | {"stream": True}, headers=headers) as first:
        assert first.status_code == 200
        second = post(payer, key, GOOD | {"stream": True})
        first.read()
    assert (second.status_code, second.json()["error"]["code"]) == (409, "idempotency_in_progress")
    assert (second.headers["retry-after"], second.headers["x-should-retry"]) == ("1", "true")


def test_no_answer_lies_readable_in_the_cache(post: Post, payer: Payer) -> None:
    key = uuid4().hex
    text = json.loads(post(payer, key).content)["choices"][0]["message"]["content"]
    with Redis.from_url(settings.REDIS_URL) as cache:
        kept = eventually(lambda: list(cache.scan_iter(f"answer:{payer.account}:*")))
        assert kept
        value = cache.get(kept[0])
        assert 0 < cache.ttl(kept[0]) <= 24 * 3600
    assert text.encode() not in value
