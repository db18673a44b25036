"""RELIABILITY.md §5.2 rows 50 to 63: JSON that asks for what cannot be had. The field is named, and nothing is held."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest

from apps.providers import services as catalogue
from apps.providers.models import Model
from apps.quotas.models import Hold
from tests.functional.payers import eventually
from tests.functional.refusing import GOOD, Caller, Refused, row

UNKNOWN_MODEL = Refused(404, "model_not_found", "model")
NO_MODEL = Refused(400, "invalid_value", "model")
USER = {"role": "user", "content": "Hi."}
FUNCTION = {"name": "f", "parameters": {}}


def bad(param: str) -> Refused:
    """A value of the wrong kind or size."""
    return Refused(400, "invalid_value", param)


def unknown(param: str) -> Refused:
    return Refused(400, "unknown_parameter", param)


def rows(number: int, field: str, *values: object) -> list[Any]:
    """A row for each of a field's bad values."""
    return [row(number, f"{field} {value!r}", field, value) for value in values]


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


def fourth(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Three good messages, then this one."""
    return [USER, USER, USER, message]


@pytest.mark.parametrize(
    ("fields", "due"),
    [
        row(51, "foo", {"foo": 1}, unknown("foo")),
        row(51, "foo in a message", {"messages": fourth(USER | {"foo": 1})}, unknown("messages[3].foo")),
        *(row(52, name, {name: "http://evil.example"}, unknown(name))
          for name in ("api_base", "base_url", "user_config", "extra_headers", "api_key", "organization")),
        row(52, "in a message", {"messages": [USER | {"api_base": "x"}]}, unknown("messages[0].api_base")),
        row(52, "in a part", {"messages": [USER | {"content": [{"type": "text", "text": "x", "base_url": "y"}]}]},
            unknown("messages[0].content[0].base_url")),
        row(52, "in a tool", {"tools": [{"type": "function", "function": FUNCTION, "user_config": {}}]},
            unknown("tools[0].user_config")),
        row(52, "in a function", {"tools": [{"type": "function", "function": FUNCTION | {"extra_headers": {}}}]},
            unknown("tools[0].function.extra_headers")),
        row(52, "in the options", {"stream": True, "stream_options": {"api_base": "x"}},
            unknown("stream_options.api_base")),
        row(52, "in the format", {"response_format": {"type": "text", "base_url": "x"}},
            unknown("response_format.base_url")),
    ],
)  # fmt: skip
def test_a_field_that_nobody_knows_is_refused_by_name(caller: Caller, fields: dict[str, Any], due: Refused) -> None:
    caller.refused(due, orjson.dumps(GOOD | fields))


@pytest.mark.parametrize(
    ("model", "due"),
    [
        row(53, "empty", "", NO_MODEL),
        row(53, "null", None, NO_MODEL),
        row(53, "number", 4, NO_MODEL),
        row(53, "10 KB", "m" * 10_000, NO_MODEL),
        row(53, "header in it", "gpt-4\r\nX: y", UNKNOWN_MODEL),
        row(53, "path", "../../x", UNKNOWN_MODEL),
        row(50, "NUL in it", "gpt-4o-mini\0", UNKNOWN_MODEL),
        row(53, "of another kind", "text-embedding-3-small", UNKNOWN_MODEL),
    ],
)
def test_a_model_that_is_none(caller: Caller, model: object, due: Refused) -> None:
    caller.refused(due, orjson.dumps(GOOD | {"model": model}))


def test_53_a_model_must_be_named(caller: Caller) -> None:
    caller.refused(NO_MODEL, orjson.dumps(without("model")))


@pytest.fixture
def unpriced(caller: Caller) -> Iterator[str]:
    """The name of a model that is on and has no price; gateways know it when this returns."""
    model = Model(
        name=f"unpriced-{uuid4().hex[:8]}", provider_id="openai", upstream_name="gpt-4o-mini", encoding="o200k_base",
        context_window=128_000, max_output=16_384,
    )  # fmt: skip
    catalogue.save(model)
    address, key = f"{caller.url}/v1/models/{model.name}", {"authorization": f"Bearer {caller.payer.key}"}
    assert eventually(lambda: httpx.get(address, headers=key).status_code == 200)
    yield model.name
    catalogue.delete(model)


def test_55_a_model_without_a_price_is_never_free(caller: Caller, unpriced: str) -> None:
    caller.refused(Refused(400, "model_not_priced", "model"), orjson.dumps(GOOD | {"model": unpriced}))


@pytest.mark.parametrize(
    ("messages", "due"),
    [
        row(56, "none", [], bad("messages")),
        row(56, "10,001", [USER] * 10_001, bad("messages")),
        row(56, "string", "Hi.", bad("messages")),
        row(56, "null", None, bad("messages")),
        row(56, "strings", ["Hi."], bad("messages[0]")),
        row(57, "role root", fourth({"role": "root", "content": "x"}), bad("messages[3].role")),
        row(57, "role number", fourth({"role": 7, "content": "x"}), bad("messages[3].role")),
        row(57, "no role", fourth({"content": "x"}), Refused(400, "missing_required_parameter", "messages[3].role")),
        row(57, "content null", fourth({"role": "user", "content": None}), bad("messages[3].content")),
        row(57, "silent assistant", fourth({"role": "assistant", "content": None}), bad("messages[3].content")),
        row(57, "assistant without a call", fourth({"role": "assistant", "content": None, "tool_calls": []}),
            bad("messages[3].tool_calls")),
        row(57, "no content", fourth({"role": "user"}), bad("messages[3].content")),
        row(57, "content 7", fourth({"role": "user", "content": 7}), bad("messages[3].content")),
    ],
)  # fmt: skip
def test_messages_that_are_none(caller: Caller, messages: object, due: Refused) -> None:
    caller.refused(due, orjson.dumps(GOOD | {"messages": messages}))


def test_56_messages_must_be_there(caller: Caller) -> None:
    due = Refused(400, "missing_required_parameter", "messages")

    caller.refused(due, orjson.dumps(without("messages")))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *rows(58, "temperature", "hot", -1, 99, True, []),
        *rows(59, "max_tokens", 0, -1, 1.5, 2**63, "10", True),
        *rows(59, "max_completion_tokens", 0, -1, 1.5, 2**63, "10", True),
        row(59, "more than the model gives", "max_tokens", 16_385),
        *rows(61, "n", 0, -1, 1000, 1.5, True),
        *rows(62, "stream", "true", 1),
        row(62, "stream_options without stream", "stream_options", {"include_usage": True}),
        row(63, "100 stops", "stop", ["x"] * 100),
        row(63, "empty stop", "stop", ""),
        row(63, "empty among stops", "stop", ["x", ""]),
        row(63, "no stops", "stop", []),
        row(63, "stop 7", "stop", 7),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_kind_or_size(caller: Caller, field: str, value: object) -> None:
    caller.refused(bad(field), orjson.dumps(without("max_tokens") | {field: value}))


def test_60_two_caps_at_once(caller: Caller) -> None:
    caller.refused(bad("max_completion_tokens"), orjson.dumps(GOOD | {"max_completion_tokens": 5}))


@pytest.mark.parametrize("number", [51, 53, 56, 62])
def test_streams_are_refused_alike_and_not_as_an_event(caller: Caller, number: int) -> None:
    wrong: dict[int, tuple[dict[str, Any], Refused]] = {
        51: ({"foo": 1}, unknown("foo")),
        53: ({"model": "../../x"}, UNKNOWN_MODEL),
        56: ({"messages": []}, bad("messages")),
        62: ({"stream_options": {"include_usage": "yes"}}, bad("stream_options.include_usage")),
    }
    fields, due = wrong[number]

    caller.refused(due, orjson.dumps(GOOD | {"stream": True} | fields))


def test_50_a_nul_is_text_like_any_other(caller: Caller) -> None:
    answer = caller.post(orjson.dumps(GOOD | {"messages": [{"role": "user", "content": "a\0b"}]}))

    assert answer.status_code == 200
    assert caller.payer.settled().spent == answer.json()["usage"]["total_tokens"]


def test_61_each_choice_is_held(caller: Caller) -> None:
    answer = caller.post(orjson.dumps(GOOD | {"n": 3}), x_stub_tokens="5")

    usage = answer.json()["usage"]
    assert len(answer.json()["choices"]) == 3
    caller.payer.settled()
    hold = Hold.objects.get(account_id=caller.payer.account)
    assert hold.amount == usage["prompt_tokens"] + 3 * 5
    assert caller.payer.settled().spent == usage["total_tokens"] == hold.amount
