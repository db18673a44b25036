"""Embeddings and the list of models through the official SDK."""

import base64
import math
import struct

import httpx
import openai
import pytest
import toktok

from tests.functional.stubs.running import KEY, Stub

MODEL = "text-embedding-3-small"


def test_unit_vectors_that_depend_on_the_text_alone(stub: Stub) -> None:
    with stub.sdk() as client:
        answer = client.embeddings.create(model=MODEL, input=["river", "sea", "river"])
    first, second, third = (entry.embedding for entry in answer.data)
    assert len(first) == 1536
    assert math.hypot(*first) == pytest.approx(1, abs=1e-6)
    assert first == third != second
    assert answer.usage.prompt_tokens == sum(toktok.batch_count(["river", "sea", "river"], "cl100k_base"))
    assert answer.usage.total_tokens == answer.usage.prompt_tokens


def test_float_and_base64_are_the_same_vector(stub: Stub) -> None:
    with stub.sdk() as client:
        floats = client.embeddings.create(model=MODEL, input="river", encoding_format="float").data[0].embedding
        packed = client.embeddings.create(model=MODEL, input="river", encoding_format="base64").data[0].embedding
    assert list(struct.unpack("<1536f", base64.b64decode(packed))) == floats


def test_dimensions(stub: Stub) -> None:
    with stub.sdk() as client:
        short = client.embeddings.create(model=MODEL, input="river", dimensions=64).data[0].embedding
    assert len(short) == 64
    assert math.hypot(*short) == pytest.approx(1, abs=1e-6)


def test_token_numbers_count_themselves(stub: Stub) -> None:
    with stub.sdk() as client:
        one = client.embeddings.create(model=MODEL, input=[1, 2, 3])
        two = client.embeddings.create(model=MODEL, input=[[1, 2, 3], [4]])
    assert (one.usage.prompt_tokens, len(one.data)) == (3, 1)
    assert (two.usage.prompt_tokens, len(two.data)) == (4, 2)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"input": ""},
        {"input": []},
        {"input": [""]},
        {"input": {"a": 1}},
        {"input": "sea", "dimensions": 1537},
        {"input": "sea", "encoding_format": "hex"},
        {"input": " sea" * 8193},
    ],
)
def test_malformed(stub: Stub, fields: dict[str, object]) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    answer = httpx.post(f"{stub.url}/v1/embeddings", json={"model": MODEL} | fields, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_usage_faults_apply(stub: Stub) -> None:
    with stub.sdk(**{"x-stub-fault": "wrong-usage=77"}) as client:
        assert client.embeddings.create(model=MODEL, input="sea").usage.prompt_tokens == 77


def test_models(stub: Stub) -> None:
    with stub.sdk() as client:
        assert [model.id for model in client.models.list()] == ["gpt-4o-mini", "gpt-4o", MODEL]
        assert client.models.retrieve("gpt-4o").owned_by == "system"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-0")
