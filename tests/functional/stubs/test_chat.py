"""Chat completions through the official SDK, plain and streamed."""

import orjson
import pytest
import toktok
from openai import omit

from tests.functional.stubs.running import QUESTION, Stub, content_of

PROMPT_TOKENS = 13


def test_plain(stub: Stub) -> None:
    with stub.sdk() as client:
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
    assert answer.model == "gpt-4o-mini-2024-07-18"
    assert answer.choices[0].finish_reason == "stop"
    assert toktok.batch_count([answer.choices[0].message.content], "o200k_base") == [16]
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (PROMPT_TOKENS, 16)
    assert answer.usage.total_tokens == PROMPT_TOKENS + 16
    assert answer._request_id.startswith("req_")


async def test_plain_and_streamed_by_the_async_sdk_say_the_same(stub: Stub) -> None:
    async with stub.async_sdk() as client:
        plain = await client.chat.completions.create(model="gpt-4o", messages=QUESTION)
        stream = await client.chat.completions.create(model="gpt-4o", messages=QUESTION, stream=True)
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == plain.choices[0].message.content


@pytest.mark.parametrize("include_usage", [True, False])
def test_stream_tells_usage_only_when_asked(stub: Stub, *, include_usage: bool) -> None:
    options = {"include_usage": True} if include_usage else omit
    with stub.sdk() as client:
        stream = client.chat.completions.create(
            model="gpt-4o-mini", messages=QUESTION, stream=True, stream_options=options
        )
        chunks = list(stream)
    with_usage = [chunk for chunk in chunks if chunk.usage is not None]
    assert len(chunks) == 1 + 16 + 1 + include_usage
    assert len(with_usage) == include_usage
    assert all(chunk.choices for chunk in chunks if chunk.usage is None)
    assert [chunk.choices for chunk in with_usage] == [[]] * include_usage


def test_stream_on_the_wire(stub: Stub) -> None:
    *chunks, done = stub.events(max_tokens=2)
    assert done == "[DONE]"
    first, *_ = parsed = [orjson.loads(chunk) for chunk in chunks]
    keys = ["id", "object", "created", "model", "service_tier", "system_fingerprint", "choices", "usage"]
    assert [list(chunk) for chunk in parsed] == [keys] * 5
    assert [list(chunk["choices"][0]) for chunk in parsed[:-1]] == [["index", "delta", "logprobs", "finish_reason"]] * 4
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert [chunk["choices"][0]["finish_reason"] for chunk in parsed[:-1]] == [None, None, None, "length"]
    assert [chunk["usage"] is None for chunk in parsed] == [True] * 4 + [False]
    assert len({chunk["id"] for chunk in parsed}) == 1
    assert b"usage" not in stub.chat(stream=True).content


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize(
    ("wanted", "allowed", "given", "reason"), [(5, 9, 5, "stop"), (9, 5, 5, "length"), (5, 5, 5, "stop")]
)
def test_never_more_than_the_limit(stub: Stub, limit: str, wanted: int, allowed: int, given: int, reason: str) -> None:
    with stub.sdk(**{"x-stub-tokens": str(wanted)}) as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=QUESTION, extra_body={limit: allowed})
    assert answer.usage is not None
    assert answer.usage.completion_tokens == given
    assert answer.choices[0].finish_reason == reason


@pytest.mark.parametrize("number", [1, 2, 500, 2000])
def test_as_many_tokens_as_ordered(stub: Stub, number: int) -> None:
    with stub.sdk(**{"x-stub-tokens": str(number)}) as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=QUESTION)
    assert toktok.batch_count([answer.choices[0].message.content], "o200k_base") == [number]


def test_choices_multiply(stub: Stub) -> None:
    with stub.sdk() as client:
        plain = client.chat.completions.create(model="gpt-4o", messages=QUESTION, n=3)
    events = stub.events(n=3, model="gpt-4o")
    assert plain.usage is not None
    assert plain.usage.completion_tokens == 48
    assert len({choice.message.content for choice in plain.choices}) == 3
    assert orjson.loads(events[-2])["usage"]["completion_tokens"] == 48
    assert len(events) == 3 + 48 + 3 + 1 + 1


def test_cached_and_reasoning_tokens(stub: Stub) -> None:
    headers = {"x-stub-cached-tokens": "10", "x-stub-reasoning-tokens": "20"}
    with stub.sdk(**headers) as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=QUESTION, max_completion_tokens=25)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 10
    assert answer.usage.completion_tokens_details.reasoning_tokens == 20
    assert answer.usage.completion_tokens == 25
    assert toktok.batch_count([answer.choices[0].message.content], "o200k_base") == [5]


def test_same_prompt_same_answer(stub: Stub) -> None:
    other = [{"role": "user", "content": "And the sea?"}]
    answers = [content_of(stub.events(messages=messages)) for messages in (QUESTION, QUESTION, other)]
    assert answers[0] == answers[1] != answers[2]


def test_orders_in_metadata(stub: Stub) -> None:
    with stub.sdk() as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=QUESTION, metadata={"x-stub-tokens": "3"})
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3


def test_headers_of_an_answer(stub: Stub) -> None:
    headers = stub.chat().headers
    assert headers["openai-version"] == "2020-10-01"
    assert headers["openai-processing-ms"].isdigit()
    assert headers["x-ratelimit-limit-requests"] == "10000"
    assert headers["x-ratelimit-remaining-requests"] == "9999"
    assert headers["x-ratelimit-reset-requests"] == "6ms"
    assert headers["x-ratelimit-limit-tokens"] == "2000000"
    assert headers["x-ratelimit-remaining-tokens"] == str(2_000_000 - PROMPT_TOKENS - 16)
    assert headers["x-ratelimit-reset-tokens"] == "0s"
