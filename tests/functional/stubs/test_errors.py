"""Refusals in OpenAI's shape, as its SDK understands them."""

from typing import Any

import httpx
import openai
import pytest

from tests.functional.stubs.running import KEY, QUESTION, Stub


@pytest.mark.parametrize(
    ("authorization", "code"),
    [("", None), ("Bearer", None), ("Basic sk-stub-1", None), ("Bearer sk-real-1234", "invalid_api_key")],
)
def test_keys(stub: Stub, authorization: str, code: str | None) -> None:
    answer = httpx.post(f"{stub.url}/v1/chat/completions", json={}, headers={"authorization": authorization})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == code
    assert "sk-real-1234" not in answer.text
    assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("model", ["gpt-0", "text-embedding-3-small"])
def test_unknown_model(stub: Stub, model: str) -> None:
    with stub.sdk() as client, pytest.raises(openai.NotFoundError) as refusal:
        client.chat.completions.create(model=model, messages=QUESTION)
    assert refusal.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"content": "hello"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "hello", "name": 5}]}, "messages[0].name"),
        ({"messages": [{"role": "user", "content": " sea" * 130_000}]}, "messages"),
        ({"model": 5}, "model"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_completion_tokens": 16_385}, "max_completion_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": 5}, "stream_options"),
    ],
)
def test_malformed(stub: Stub, fields: dict[str, Any], param: str) -> None:
    answer = stub.chat(**fields)
    assert answer.status_code == 400
    assert list(answer.json()["error"]) == ["message", "type", "param", "code"]
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff"])
def test_no_json_object(stub: Stub, body: bytes) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    answer = httpx.post(f"{stub.url}/v1/chat/completions", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/chat/completions"), ("POST", "/v1/none"), ("GET", "/v1")])
def test_no_such_url(stub: Stub, method: str, path: str) -> None:
    answer = httpx.request(method, f"{stub.url}{path}", headers={"authorization": f"Bearer {KEY}"})
    assert answer.status_code == 404
    assert path in answer.json()["error"]["message"]


@pytest.mark.parametrize("fault", ["unheard-of", "truncate", "truncate=x", "status=200", "stall=5", "html=1"])
def test_what_is_not_on_the_menu(stub: Stub, fault: str) -> None:
    answer = stub.chat(fault)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "stub_bad_order"
