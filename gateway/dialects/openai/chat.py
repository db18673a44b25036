"""``POST /v1/chat/completions``: the request's parameters and what they mean for the hold.

Source: OpenAI API reference, "Create chat completion".
"""

from collections.abc import Iterator
from typing import Any

from gateway.dialects.openai.fields import (
    Check,
    array,
    boolean,
    integer,
    number,
    number_map,
    one_of,
    opaque_object,
    optional,
    record,
    refuse,
    text,
    text_map,
)
from gateway.dialects.openai.messages import check_messages
from gateway.errors import bad_request

MAX_OUTPUT = 2**31 - 1
MAX_CHOICES = 128
MAX_TOOLS = 128

_FUNCTION = record(
    {
        "name": text(64),
        "description": text(),
        "parameters": opaque_object,
        "strict": optional(boolean),
    },
    required=("name",),
)
_tools = array(
    record({"type": one_of("function"), "function": _FUNCTION}, required=("type", "function")),
    minimum=1,
    maximum=MAX_TOOLS,
)


def _named_tools(value: Any, param: str) -> None:
    _tools(value, param)
    names = [tool["function"]["name"] for tool in value]
    if len(set(names)) != len(names):
        refuse(param, "tools with different names")


def _tool_choice(value: Any, param: str) -> None:
    if isinstance(value, str):
        one_of("none", "auto", "required")(value, param)
    else:
        record(
            {"type": one_of("function"), "function": record({"name": text(64)}, required=("name",))},
            required=("type", "function"),
        )(value, param)


def _stop(value: Any, param: str) -> None:
    each = value if isinstance(value, list) else [value]
    if not 1 <= len(each) <= 4 or not all(isinstance(item, str) and 0 < len(item) <= 1000 for item in each):
        refuse(param, "a non-empty string, or 1 to 4 of them")


_SCHEMA = record(
    {"name": text(64), "description": text(), "schema": opaque_object, "strict": optional(boolean)}, required=("name",)
)
_response_format = record(
    {"type": one_of("text", "json_object", "json_schema"), "json_schema": _SCHEMA}, required=("type",)
)

STRUCTURE: dict[str, Check] = {
    "model": text(256),
    "messages": check_messages,
    "stream": optional(boolean),
    "stream_options": optional(record({"include_usage": boolean, "include_obfuscation": boolean})),
    "max_tokens": optional(integer(1, MAX_OUTPUT)),
    "max_completion_tokens": optional(integer(1, MAX_OUTPUT)),
    "n": optional(integer(1, MAX_CHOICES)),
}
"""What the gateway itself reads: always taken, whatever a provider's allow-list says."""

PARAMETERS: dict[str, Check] = {
    "temperature": optional(number(0, 2)),
    "top_p": optional(number(0, 1)),
    "frequency_penalty": optional(number(-2, 2)),
    "presence_penalty": optional(number(-2, 2)),
    "stop": optional(_stop),
    "seed": optional(integer(-(2**63), 2**63 - 1)),
    "logprobs": optional(boolean),
    "top_logprobs": optional(integer(0, 20)),
    "logit_bias": optional(number_map(1024, -100, 100)),
    "response_format": _response_format,
    "tools": _named_tools,
    "tool_choice": _tool_choice,
    "parallel_tool_calls": boolean,
    "functions": array(_FUNCTION, minimum=1, maximum=MAX_TOOLS),
    "function_call": lambda value, param: None if isinstance(value, str) else opaque_object(value, param),
    "user": text(512),
    "safety_identifier": text(512),
    "prompt_cache_key": text(512),
    "metadata": optional(text_map(16)),
    "store": optional(boolean),
    "reasoning_effort": optional(one_of("none", "minimal", "low", "medium", "high", "xhigh")),
    "verbosity": optional(one_of("low", "medium", "high")),
    "service_tier": optional(one_of("auto", "default", "flex", "priority", "scale")),
}
"""What may pass to a provider when its allow-list names it."""

REQUIRED = ("model", "messages")


def check_combinations(body: dict[str, Any]) -> None:
    """Rules that bind two fields.

    Raises:
        ApiError: 400 that names the second field.
    """
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        raise bad_request("Send either max_tokens or max_completion_tokens, not both.", param="max_completion_tokens")
    if body.get("stream_options") is not None and not body.get("stream"):
        raise bad_request("'stream_options' is only allowed when 'stream' is true.", param="stream_options")


def output_cap(body: dict[str, Any]) -> int | None:
    """The caller's own cap on output tokens of one choice, if there is one."""
    cap = body.get("max_completion_tokens")
    return body.get("max_tokens") if cap is None else cap


def choices(body: dict[str, Any]) -> int:
    """How many answers are asked for; each costs its output."""
    return body.get("n") or 1


def texts(body: dict[str, Any]) -> Iterator[str]:
    """All text of the prompt that a tokenizer can count exactly."""
    for message in body["messages"]:
        yield message["role"]
        if name := message.get("name"):
            yield name
        content = message.get("content")
        if isinstance(content, str):
            yield content
        else:
            yield from (part["text"] for part in content or () if part["type"] == "text")


def names(body: dict[str, Any]) -> int:
    """Messages that carry a name; each costs one token more."""
    return sum(1 for message in body["messages"] if message.get("name"))


def is_plain_text(body: dict[str, Any]) -> bool:
    """Whether the prompt is nothing but text messages, so that the tokenizer's count is exact."""
    if any(body.get(field) for field in ("tools", "functions", "response_format")):
        return False
    return all(
        not message.get("tool_calls") and (isinstance(message.get("content"), str) or _only_text(message["content"]))
        for message in body["messages"]
    )


def _only_text(content: list[dict[str, Any]] | None) -> bool:
    return all(part["type"] == "text" for part in content or ())


def images(body: dict[str, Any]) -> int:
    """Images and sounds in the prompt; each is bounded by a fixed number of tokens."""
    return sum(
        part["type"] in ("image_url", "input_audio")
        for message in body["messages"]
        if isinstance(message.get("content"), list)
        for part in message["content"]
    )
