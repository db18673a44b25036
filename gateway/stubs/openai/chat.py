"""``POST /v1/chat/completions``: what a request asks for, and the plain answer. Streams are in :mod:`.stream`."""

from dataclasses import dataclass
from typing import Any

import orjson

from gateway.stubs import words
from gateway.stubs.faults import Faults
from gateway.stubs.openai import errors, models
from gateway.stubs.openai.usage import chat_usage, reported

DEFAULT_TOKENS = 16
MAX_CHOICES = 128
FINGERPRINT = "fp_stub000001"

_PER_MESSAGE = 3
_PER_NAME = 1
_PRIMES_REPLY = 3


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A valid request, and how it will be answered. Amounts in tokens, of output per choice."""

    model: models.Model
    prompt_tokens: int
    seed: int
    choices: int
    visible: int
    reasoning: int
    finish_reason: str
    stream: bool
    usage: dict[str, Any] | None
    """What the answer reports; ``None``: nothing, because not asked for or by a fault."""

    @property
    def generated(self) -> int:
        """All output tokens, over all choices."""
        return self.choices * (self.visible + self.reasoning)


def parse(fields: dict[str, Any], faults: Faults) -> ChatCall:
    """Read a request. The prompt is counted by OpenAI's published rule; parts other than text count nothing here.

    Raises:
        ApiError
    """
    model = models.find(fields, chat=True)
    texts = _texts(fields.get("messages"))
    prompt_tokens = sum(words.count(text) for text in texts) + _overhead(fields["messages"])
    choices = _whole(fields, "n", 1, MAX_CHOICES) or 1
    stream = fields.get("stream") is True
    with_usage = _include_usage(fields) if stream else _no_stream_options(fields)
    limit = _limit(fields, model)
    if prompt_tokens + (limit or 1) > model.context:
        raise errors.too_long(model.context, prompt_tokens + (limit or 1), "messages")
    visible, reasoning, finish_reason = _output(model.max_output if limit is None else limit, faults)
    cached = min(faults.cached_tokens, prompt_tokens)
    usage = chat_usage(prompt_tokens, choices * (visible + reasoning), cached, choices * reasoning)
    return ChatCall(
        model=model,
        prompt_tokens=prompt_tokens,
        seed=words.seed("\n".join(texts)),
        choices=choices,
        visible=visible,
        reasoning=reasoning,
        finish_reason=finish_reason,
        stream=stream,
        usage=reported(usage, faults) if with_usage else None,
    )


def completion(call: ChatCall, identifier: str, created: int) -> bytes:
    """The plain answer's body. ``created`` in Unix seconds."""
    body = {
        "id": identifier,
        "object": "chat.completion",
        "created": created,
        "model": call.model.snapshot,
        "choices": [_choice(call, index) for index in range(call.choices)],
    }
    if call.usage is not None:
        body["usage"] = call.usage
    return orjson.dumps(body | {"service_tier": "default", "system_fingerprint": FINGERPRINT})


def _choice(call: ChatCall, index: int) -> dict[str, Any]:
    content = "".join(words.words(call.seed + index, call.visible))
    return {
        "index": index,
        "message": {"role": "assistant", "content": content, "refusal": None, "annotations": []},
        "logprobs": None,
        "finish_reason": call.finish_reason,
    }


def _output(limit: int, faults: Faults) -> tuple[int, int, str]:
    """Visible tokens, reasoning tokens, and why the output ends there."""
    wanted = DEFAULT_TOKENS if faults.tokens is None else faults.tokens
    if "over-max" in faults:
        return (wanted if wanted > limit else limit + DEFAULT_TOKENS), faults.reasoning_tokens, "stop"
    reasoning = min(faults.reasoning_tokens, limit)
    visible = min(wanted, limit - reasoning)
    return visible, reasoning, "length" if visible < wanted or reasoning < faults.reasoning_tokens else "stop"


def _texts(messages: object) -> list[str]:
    if messages is None:
        raise errors.missing("messages")
    if not isinstance(messages, list) or not messages:
        raise errors.invalid("messages", "a non-empty array of messages")
    return [text for index, message in enumerate(messages) for text in _message_texts(message, f"messages[{index}]")]


def _message_texts(message: object, param: str) -> list[str]:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise errors.invalid(param, "an object with a role")
    name, content = message.get("name", ""), message.get("content")
    if not isinstance(name, str):
        raise errors.invalid(f"{param}.name", "a string")
    return [message["role"], name, *_content_texts(content, f"{param}.content")]


def _content_texts(content: object, param: str) -> list[str]:
    if content is None:
        return []
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise errors.invalid(param, "a string or an array of content parts")
    return [part["text"] for part in content if part.get("type") == "text" and isinstance(part.get("text"), str)]


def _overhead(messages: list[dict[str, Any]]) -> int:
    named = sum(1 for message in messages if message.get("name"))
    return _PER_MESSAGE * len(messages) + _PER_NAME * named + _PRIMES_REPLY


def _limit(fields: dict[str, Any], model: models.Model) -> int | None:
    old = _whole(fields, "max_tokens", 1, model.max_output)
    new = _whole(fields, "max_completion_tokens", 1, model.max_output)
    if old is not None and new is not None:
        message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        raise errors.ApiError(400, message, param="max_tokens", code="invalid_parameter_combination")
    return old if new is None else new


def _include_usage(fields: dict[str, Any]) -> bool:
    options = fields.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise errors.invalid("stream_options", "an object")
    return bool(options and options.get("include_usage") is True)


def _no_stream_options(fields: dict[str, Any]) -> bool:
    if fields.get("stream_options") is not None:
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise errors.ApiError(400, message, param="stream_options")
    return True


def _whole(fields: dict[str, Any], name: str, minimum: int, maximum: int) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
        raise errors.invalid(name, f"a whole number within {minimum} … {maximum}")
    return value
