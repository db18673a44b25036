"""The unmodified official SDK, pointed at the gateway by its base URL alone: it works, and the ledger shows it."""

import openai
import pytest
from openai import OpenAI

from apps.outbox.models import OutboxEvent
from tests.functional.payers import Oracle, Payer, eventually, open_payer

MODEL = "gpt-4o-mini"
HELLO = [{"role": "user", "content": "Say hello."}]


@pytest.fixture
def client(gateway_url: str, payer: Payer) -> OpenAI:
    return OpenAI(base_url=f"{gateway_url}/v1", api_key=payer.key, max_retries=0)


def test_a_plain_answer_is_charged_to_the_token(client: OpenAI, payer: Payer, oracle: Oracle) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO, max_tokens=10)
    answer = raw.parse()

    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert int(raw.headers["x-charged-tokens"]) == answer.usage.total_tokens
    assert eventually(lambda: payer.balance().spent) == answer.usage.total_tokens
    assert payer.balance().held == 0
    served = oracle.ending(raw.headers["x-request-id"])
    assert served["tokens_generated"] == answer.usage.completion_tokens


def test_a_stream_is_charged_by_the_usage_that_only_we_asked_for(client: OpenAI, payer: Payer, oracle: Oracle) -> None:
    with client.chat.completions.with_streaming_response.create(
        model=MODEL, messages=HELLO, stream=True, max_tokens=12
    ) as raw:
        chunks = list(raw.parse())

    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert not any("usage" in chunk.model_fields_set for chunk in chunks)
    served = oracle.ending(raw.headers["x-request-id"])
    assert served["tokens_generated"] == 12
    spent = eventually(lambda: payer.balance().spent)
    assert spent == served["prompt_tokens"] + 12


def test_a_stream_shows_usage_to_who_asks(client: OpenAI, payer: Payer) -> None:
    stream = client.chat.completions.create(
        model=MODEL, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)

    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert eventually(lambda: payer.balance().spent) == chunks[-1].usage.total_tokens


def test_embeddings_are_charged_by_their_input(client: OpenAI, payer: Payer) -> None:
    answer = client.embeddings.create(model="text-embedding-3-small", input=["hello", "world"])

    assert len(answer.data) == 2
    assert eventually(lambda: payer.balance().spent) == answer.usage.total_tokens


def test_models_are_listed_and_retrieved(client: OpenAI) -> None:
    names = [model.id for model in client.models.list()]

    assert {MODEL, "text-embedding-3-small"} <= set(names)
    assert client.models.retrieve(MODEL).owned_by == "openai"
    with pytest.raises(openai.NotFoundError) as missing:
        client.models.retrieve("gpt-none")
    assert missing.value.code == "model_not_found"


def test_a_receipt_names_the_reservation_and_the_bucket(client: OpenAI, payer: Payer) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=HELLO, max_tokens=10, extra_headers={"x-request-id": "my-own-id"}
    )

    assert raw.headers["x-request-id"] == "my-own-id"
    assert raw.headers["x-reservation-id"]
    assert raw.headers["x-ratelimit-limit-tokens"] == "100000"
    assert 0 < int(raw.headers["x-ratelimit-remaining-tokens"]) < 100_000
    assert raw.headers["x-ratelimit-reset-tokens"].endswith("s")


@pytest.mark.usefixtures("committed")
def test_a_short_account_is_refused_at_once_and_pours_nothing(gateway_url: str, oracle: Oracle) -> None:
    poor = open_payer(tokens=100)
    client = OpenAI(base_url=f"{gateway_url}/v1", api_key=poor.key, max_retries=2)
    before = oracle.calls()

    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=1000)

    assert (refused.value.code, refused.value.type) == ("insufficient_quota", "insufficient_quota")
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert refused.value.response.request.headers["x-stainless-retry-count"] == "0"
    assert oracle.calls() == before
    assert (poor.balance().available, poor.balance().held) == (100, 0)
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO, max_tokens=10)
    assert int(raw.headers["x-ratelimit-remaining-tokens"]) > 99_000


def test_the_event_of_a_call_is_in_the_outbox(client: OpenAI, payer: Payer) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO, max_tokens=10)
    usage = raw.parse().usage
    assert usage is not None

    payer.settled()
    event = OutboxEvent.objects.get(id=raw.headers["x-reservation-id"])

    assert event.data["request_id"] == raw.headers["x-request-id"]
    assert event.data["charged"] == usage.total_tokens
    assert event.data["tokens"]["input"] == usage.prompt_tokens
    assert (event.data["outcome"], event.data["usage_source"]) == ("completed", "provider")
