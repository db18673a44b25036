"""The OpenAI dialect names the field that is wrong (RELIABILITY.md 5.2, rows 51, 52, 56 to 64, 68, 69)."""

from typing import Any

import pytest

from gateway.dialects.openai.operations import CHAT, EMBEDDINGS, Operation
from gateway.errors import ApiError

HELLO = [{"role": "user", "content": "hello"}]
IMAGE_URL = "messages[1].content[0].image_url.url"
ALLOWED = {*CHAT.parameters, *EMBEDDINGS.parameters}


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": HELLO, **fields}


def said(**message: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [*HELLO, {"role": "user", "content": "x", **message}]}


def tool(name: str, **function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **function}}


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (chat(foo=1), "foo", "unknown_parameter"),
    (chat(api_base="http://127.0.0.1"), "api_base", "unknown_parameter"),
    (chat(extra_headers={}), "extra_headers", "unknown_parameter"),
    (chat(user_config={"api_base": "x"}), "user_config", "unknown_parameter"),
    (said(api_base="x"), "messages[1].api_base", "unknown_parameter"),
    (said(content=[{"type": "text", "base_url": 1}]), "messages[1].content[0].base_url", "unknown_parameter"),
    (chat(tools=[{**tool("f"), "api_base": "x"}]), "tools[0].api_base", "unknown_parameter"),
    ({"model": "m"}, "messages", "missing_required_parameter"),
    (chat(messages=[]), "messages", "invalid_value"),
    (chat(messages="hello"), "messages", "invalid_value"),
    (chat(messages=HELLO * 10_001), "messages", "invalid_value"),
    (chat(messages=["hello"]), "messages[0]", "invalid_value"),
    (said(role="root"), "messages[1].role", "invalid_value"),
    (said(role=["user"]), "messages[1].role", "invalid_value"),
    (chat(messages=[{"content": "x"}]), "messages[0].role", "missing_required_parameter"),
    (said(content=None), "messages[1].content", "invalid_value"),
    (said(content=7), "messages[1].content", "invalid_value"),
    (said(content=[]), "messages[1].content", "invalid_value"),
    (said(content=[{"type": "video"}]), "messages[1].content[0].type", "invalid_value"),
    (said(content=[{"type": ["text"]}]), "messages[1].content[0].type", "invalid_value"),
    (said(content=[{"type": "text"}]), "messages[1].content[0].text", "missing_required_parameter"),
    (chat(temperature="hot"), "temperature", "invalid_value"),
    (chat(temperature=-1), "temperature", "invalid_value"),
    (chat(temperature=99), "temperature", "invalid_value"),
    (chat(temperature=True), "temperature", "invalid_value"),
    (chat(max_tokens=0), "max_tokens", "invalid_value"),
    (chat(max_tokens=-1), "max_tokens", "invalid_value"),
    (chat(max_tokens=1.5), "max_tokens", "invalid_value"),
    (chat(max_tokens=2**63), "max_tokens", "invalid_value"),
    (chat(max_tokens="10"), "max_tokens", "invalid_value"),
    (chat(max_tokens=True), "max_tokens", "invalid_value"),
    (chat(max_tokens=5, max_completion_tokens=5), "max_completion_tokens", "invalid_value"),
    (chat(n=0), "n", "invalid_value"),
    (chat(n=1000), "n", "invalid_value"),
    (chat(stream="true"), "stream", "invalid_value"),
    (chat(stream_options={"include_usage": True}), "stream_options", "invalid_value"),
    (chat(stream=True, stream_options={"include_usage": 1}), "stream_options.include_usage", "invalid_value"),
    (chat(stop=["x"] * 100), "stop", "invalid_value"),
    (chat(stop=""), "stop", "invalid_value"),
    (chat(stop=[]), "stop", "invalid_value"),
    (chat(tools=[tool("f"), tool("f")]), "tools", "invalid_value"),
    (chat(tools=[tool(f"f{i}") for i in range(1000)]), "tools", "invalid_value"),
    (chat(tools=[tool("f", parameters=[])]), "tools[0].function.parameters", "invalid_value"),
    (chat(tool_choice="perhaps"), "tool_choice", "invalid_value"),
    (said(content=[image("http://169.254.169.254/x")]), IMAGE_URL, "invalid_value"),
    (said(content=[image("file:///etc/passwd")]), IMAGE_URL, "invalid_value"),
    (chat(logit_bias={str(i): 1 for i in range(100_000)}), "logit_bias", "invalid_value"),
    (chat(metadata={str(i): "x" for i in range(100)}), "metadata", "invalid_value"),
    (chat(user="x" * 10_000), "user", "invalid_value"),
]  # fmt: skip


def _refusal(operation: Operation, body: dict[str, Any]) -> ApiError:
    with pytest.raises(ApiError) as refusal:
        operation.check(body, ALLOWED.__contains__)
    return refusal.value


@pytest.mark.parametrize(("body", "param", "code"), REFUSED, ids=[f"{p}-{i}" for i, (_, p, _) in enumerate(REFUSED)])
def test_a_wrong_field_is_named(body: dict[str, Any], param: str, code: str) -> None:
    error = _refusal(CHAT, body)

    assert (error.status, error.param, error.code) == (400, param, code)
    assert error.fields()["type"] == "invalid_request_error"


@pytest.mark.parametrize("value", [[], "", ["x"] * 3000, [[1, "a"]], ["a", 1], [[]], 7, None, [True]])
def test_wrong_embedding_inputs_are_named(value: Any) -> None:
    assert _refusal(EMBEDDINGS, {"model": "m", "input": value}).param == "input"


ACCEPTED = [
    chat(),
    chat(max_tokens=None, temperature=None, stop=None, n=None, stream=None),
    chat(messages=[{"role": "user", "content": "nul \x00 is content"}]),
    chat(messages=[{"role": "assistant", "content": None, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}]),
    chat(tools=[tool("f", parameters={"type": "object", "properties": {"api_base": {"$ref": "#"}}}, strict=True)]),
    chat(response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": {"pattern": "(a+)+$"}}}),
    chat(stream=True, stream_options={"include_usage": True}, temperature=0, top_p=1, seed=-5, stop=["a", "b"]),
    said(content=[{"type": "text", "text": "x"}, image("https://e.org/a.png")]),
]  # fmt: skip


@pytest.mark.parametrize("body", ACCEPTED)
def test_what_the_api_documents_passes(body: dict[str, Any]) -> None:
    CHAT.check(body, ALLOWED.__contains__)


def test_a_providers_allow_list_decides_what_passes() -> None:
    body = chat(seed=1)

    CHAT.check(body, {"seed"}.__contains__)
    CHAT.check(chat(vendor_extra={"x": 1}), lambda _name: True)
    with pytest.raises(ApiError, match="seed"):
        CHAT.check(body, set[str]().__contains__)
