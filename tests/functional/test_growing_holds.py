"""Streams of a tier whose holds grow: large caps keep nobody's tokens, and nothing is oversold all the same."""

import asyncio
import json

import pytest
from django.conf import settings
from openai import OpenAI

from apps.limiter.api import Limiter
from tests.functional.payers import Oracle, Payer, eventually, of_tier
from tests.functional.raw_client import RawCall, read_to_their_ends, send
from tests.functional.usage_events import booked

STEP = 64
AGENTS, CAP, TOKENS = 50, 16_000, 40
"""Agents that might need 800,000 tokens in all, and need 2,000 and their prompts."""

UNREAD = 5
"""Tokens that the provider may have generated before it learned that nobody reads on."""

MODEL = "gpt-4o-mini"
HELLO = [{"role": "user", "content": "Say hello."}]


def thrifty(tokens: int, **limits: int) -> Payer:
    return of_tier(tokens, hold_step=STEP, **limits)


async def ended(url: str, payer: Payer, calls: int, *, tokens: int, cap: int, delay_ms: int = 20) -> list[RawCall]:
    sent = [await send(url, payer, tokens=tokens, cap=cap, orders={"chunk-delay-ms": delay_ms}) for _ in range(calls)]
    for call in sent:
        assert await call.head() == 200, await call.body()
    await read_to_their_ends(sent)
    return sent


def test_fifty_agents_with_large_caps_are_served_at_once(gateway_url: str, oracle: Oracle, committed: None) -> None:
    payer = thrifty(20_000)
    calls = asyncio.run(ended(gateway_url, payer, AGENTS, tokens=TOKENS, cap=CAP))
    assert all(call.events[-1] == b"[DONE]" for call in calls)
    used = [oracle.ending(call.request_id)["usage"]["total_tokens"] for call in calls]
    assert [booked(call.request_id)["charged"] for call in calls] == used
    assert payer.settled().spent == sum(used)


def test_a_stream_that_outgrows_its_first_step_is_charged_to_the_token(
    gateway_url: str, oracle: Oracle, committed: None
) -> None:
    payer = thrifty(20_000)
    (call,) = asyncio.run(ended(gateway_url, payer, 1, tokens=1_000, cap=4_000, delay_ms=1))
    assert (call.whole, call.events[-1]) == (True, b"[DONE]")
    event, served = booked(call.request_id), oracle.ending(call.request_id)
    assert event["charged"] == served["usage"]["total_tokens"] == served["prompt_tokens"] + 1_000
    assert (event["outcome"], event["usage_source"], event["absorbed"]) == ("completed", "provider", 0)
    assert event["charged"] <= event["held"] < served["prompt_tokens"] + 1_000 + 10 * STEP


def test_no_more_is_held_than_what_is_used_and_two_steps(gateway_url: str, committed: None) -> None:
    payer = thrifty(20_000)

    async def held_in_the_midst() -> int:
        call = await send(gateway_url, payer, tokens=150, cap=16_000, orders={"chunk-delay-ms": 10})
        await call.head()
        for _ in range(100):
            await call.event()
        held = reserved(payer)
        await read_to_their_ends([call])
        return held

    assert 100 < asyncio.run(held_in_the_midst()) < 100 + 2 * STEP + 20


def reserved(payer: Payer) -> int:
    with Limiter(settings.QUOTA_REDIS_URL) as limiter:
        purse = limiter.purse(payer.account)
    assert purse is not None
    return purse.reserved


def test_a_stream_for_which_there_is_no_more_ends_by_length(gateway_url: str, oracle: Oracle, committed: None) -> None:
    """To the official SDK it is a cap that was reached. What came while the ledger was asked, the house may bear."""
    payer = thrifty(300)
    client = OpenAI(base_url=f"{gateway_url}/v1", api_key=payer.key, max_retries=0)
    with client.chat.completions.with_streaming_response.create(
        model=MODEL, messages=HELLO, stream=True, max_tokens=2_000, stream_options={"include_usage": True},
        extra_headers={"x-stub-tokens": "2000", "x-stub-chunk-delay-ms": "2"},
    ) as raw:  # fmt: skip
        chunks = list(raw.parse())

    *_, last, usage = chunks
    assert last.choices[0].finish_reason == "length"
    assert {chunk.id for chunk in chunks} == {last.id}
    assert usage.choices == []
    assert usage.usage is not None
    event = booked(raw.headers["x-request-id"])
    assert (event["outcome"], event["usage_source"]) == ("out_of_tokens", "counted")
    assert event["charged"] + event["absorbed"] == usage.usage.total_tokens
    assert 300 - 16 < event["charged"] == payer.settled().spent <= 300
    served = oracle.ending(raw.headers["x-request-id"])
    generated = served["prompt_tokens"] + served["tokens_generated"]
    assert (served["client_left"], generated - UNREAD <= usage.usage.total_tokens <= generated) == (True, True)


def test_a_client_that_asked_for_no_usage_sees_none_of_it(gateway_url: str, committed: None) -> None:
    payer = thrifty(200)
    (call,) = asyncio.run(ended(gateway_url, payer, 1, tokens=1_000, cap=1_000, delay_ms=2))
    *_, last, done = call.events
    assert done == b"[DONE]"
    chunk = json.loads(last)
    assert "usage" not in chunk
    assert [(choice["index"], choice["finish_reason"]) for choice in chunk["choices"]] == [(0, "length")]


def test_many_streams_on_a_nearly_empty_account_hold_never_more_than_it_has(gateway_url: str, committed: None) -> None:
    payer = thrifty(2_000)
    calls = asyncio.run(ended(gateway_url, payer, 15, tokens=1_000, cap=1_000, delay_ms=3))
    assert all(call.events[-1] == b"[DONE]" for call in calls)
    outcomes = [booked(call.request_id)["outcome"] for call in calls]
    assert set(outcomes) <= {"completed", "out_of_tokens"}
    account = payer.settled()
    assert account.spent == sum(booked(call.request_id)["charged"] for call in calls) <= 2_000
    assert account.held == 0
    assert account.spent > 2_000 - len(calls) * STEP


def test_streams_grow_no_faster_than_their_bucket_leaks(gateway_url: str, committed: None) -> None:
    """They wait for room, as long as a call of their tier may wait, and go on; one that may not ends by length."""
    patient = thrifty(20_000, bucket_capacity=160, leak_rate=100_000)
    impatient = thrifty(20_000, bucket_capacity=160, leak_rate=1, max_wait_ms=100)
    for payer, outcome in ((patient, "completed"), (impatient, "out_of_tokens")):
        calls = asyncio.run(ended(gateway_url, payer, 2, tokens=100, cap=140, delay_ms=2))
        assert [call.events[-1] for call in calls] == [b"[DONE]"] * 2
        assert {booked(call.request_id)["outcome"] for call in calls} == {outcome}


def test_a_client_that_leaves_while_its_stream_waits_for_room_is_booked_at_once(
    gateway_url: str, committed: None
) -> None:
    payer = thrifty(20_000, bucket_capacity=160, leak_rate=1_000, max_wait_ms=600_000)  # A minute for a step.

    async def leave_while_it_waits() -> list[RawCall]:
        calls = [await send(gateway_url, payer, tokens=130, cap=140, orders={"chunk-delay-ms": 40}) for _ in range(2)]
        for call in calls:
            await call.head()
            while len(call.events) < STEP - 16:
                await call.event()
        await asyncio.sleep(0.5)
        for call in calls:
            await call.leave()
        return calls

    calls = asyncio.run(leave_while_it_waits())
    assert [booked(call.request_id)["outcome"] for call in calls] == ["client_closed"] * 2
    assert eventually(lambda: payer.settled().held == 0)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "within one step"])
def test_what_cannot_grow_holds_its_whole_bound(gateway_url: str, stream: bool, committed: None) -> None:
    payer = thrifty(20_000)

    async def one() -> RawCall:
        call = await send(gateway_url, payer, tokens=5, cap=STEP if stream else 5_000, stream=stream)
        await call.head()
        await (call.read_on() if stream else call.body())
        await call.leave()
        return call

    call = asyncio.run(one())
    assert booked(call.request_id)["held"] >= (STEP if stream else 5_000)
