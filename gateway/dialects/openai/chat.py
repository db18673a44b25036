"""``POST /v1/chat/completions``: the request's parameters and what they mean for the hold.

Source: OpenAI API reference, "Create chat completion".
"""

from typing import Any

import orjson

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
from gateway.estimate import Prompt

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

OPAQUE = ("tools", "functions", "response_format")
OPAQUE_IN_MESSAGE = ("tool_calls", "function_call", "refusal", "tool_call_id", "audio")
"""What providers turn into prompt by rules of their own. A token is a byte at least, so its bytes bound it."""

_OPAQUE = frozenset(OPAQUE)
MEDIA = ("image_url", "input_audio")


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


def prompt(body: dict[str, Any]) -> Prompt:
    """What there is to count in a request: text exactly, the rest by what bounds it."""
    texts: list[str] = []
    names = media = 0
    opaque = [] if _OPAQUE.isdisjoint(body) else [body[field] for field in OPAQUE if body.get(field)]
    for message in body["messages"]:
        texts.append(message["role"])
        content = message.get("content")
        if isinstance(content, str) and len(message) == 2:  # nearly all messages are this and no more
            texts.append(content)
            continue
        if isinstance(content, str):
            texts.append(content)
        elif content:
            texts += [part["text"] for part in content if part["type"] == "text"]
            media += sum(part["type"] in MEDIA for part in content)
            opaque += [part for part in content if part["type"] == "refusal"]
        if name := message.get("name"):
            names += 1
            texts.append(name)
        opaque += [message[field] for field in OPAQUE_IN_MESSAGE if message.get(field)]
    opaque_bytes = sum(len(orjson.dumps(part)) for part in opaque)
    return Prompt(tuple(texts), len(body["messages"]), names, opaque_bytes, media)
