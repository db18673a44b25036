"""What a provider's answer says that it used; and what we count where it does not say, or cannot be believed.

Providers are not trusted: a usage is taken only when it is whole numbers within twice the bound of the call. Pure.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from apps.core.units import Usage
from gateway.estimate import Estimate

TRUST = 2
"""A usage above this multiple of the bound is not believed (RELIABILITY S28: 0 to twice the cap)."""


CONTRADICTORY = "contradictory"
"""In place of a usage: the provider has reported two totals, so neither can be believed."""


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    function: _Function | None = None


class _Text(msgspec.Struct):
    """A message or a delta: the parts of it that are generated text."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_ToolCall] | None = None

    def texts(self) -> list[str]:
        """Everything generated, in pieces."""
        pieces = [piece for piece in (self.content, self.refusal, self.reasoning_content) if piece]
        for call in self.tool_calls or ():
            if call.function:
                pieces += [piece for piece in (call.function.name, call.function.arguments) if piece]
        return pieces


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Text | None = None
    message: _Text | None = None
    finish_reason: Any = None


class Completion(msgspec.Struct):
    """The parts that metering reads of a chat completion, an embedding list or a chunk."""

    choices: list[_Choice] | None = None
    data: list[msgspec.Raw] | None = None
    usage: Any = None
    error: Any = None

    def texts(self) -> list[tuple[int, str]]:
        """Generated text with the index of its choice."""
        found = []
        for choice in self.choices or ():
            said = choice.delta or choice.message
            if said is not None:
                found += [(choice.index, piece) for piece in said.texts()]
        return found


_decoder = msgspec.json.Decoder(Completion)


def read(raw: bytes) -> Completion | None:
    """Decode an answer or chunk; None when it is not what a provider of this dialect sends."""
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def trusted_usage(reported: Any, bound: Estimate) -> Usage | None:
    """The provider's usage, if it can be believed."""
    if not isinstance(reported, dict):
        return None
    prompt = _within(reported.get("prompt_tokens"), TRUST * bound.prompt)
    output = _within(reported.get("completion_tokens", 0), TRUST * bound.output * bound.choices)
    if prompt is None or output is None:
        return None
    cached = _detail(reported, "prompt_tokens_details", "cached_tokens")
    reasoning = _detail(reported, "completion_tokens_details", "reasoning_tokens")
    return Usage(prompt, min(cached, prompt), output, min(reasoning, output))


def counted_usage(texts: list[tuple[int, str]], bound: Estimate, count: Callable[[str], int] | None) -> Usage:
    """Our own count of what was read: the prompt's bound, and the output's tokens (or bytes) up to its cap."""
    measure = count or (lambda text: len(text.encode()))
    output = sum(min(measure(text), bound.output) for _, text in joined(texts))
    return Usage(input=bound.prompt, output=min(output, bound.output * bound.choices))


def joined(texts: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The same text in one piece per choice."""
    by_choice: dict[int, list[str]] = {}
    for index, piece in texts:
        by_choice.setdefault(index, []).append(piece)
    return [(index, "".join(pieces)) for index, pieces in by_choice.items()]


def _within(value: Any, limit: int) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= limit else None


def _detail(reported: dict[str, Any], group: str, name: str) -> int:
    details = reported.get(group)
    value = details.get(name) if isinstance(details, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
