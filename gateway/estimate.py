"""The upper bound of what a call can cost, before it leaves. Pure arithmetic over counts.

The prompt is counted by the model's own tokenizer where we have it, and bounded by bytes where we have not: a token of
a byte-level BPE is at least one byte. The output is bounded by a cap that is always sent upstream, so that the
provider itself cannot exceed it.
"""

from collections.abc import Callable

import msgspec

from apps.core.units import MILLI, Weights

TOKENS_PER_MESSAGE = 3
TOKENS_PER_NAME = 1
REPLY_PRIMING = 3
"""How OpenAI's chat models wrap messages (OpenAI cookbook, "How to count tokens with tiktoken", section 6)."""

MEDIA_TOKENS = 48_169
"""Bound of one image: gpt-4o-mini at full detail, 2833 + 8 tiles of 5667 (OpenAI, "Images and vision", costs)."""


class Prompt(msgspec.Struct, frozen=True):
    """What there is to count in a request. ``messages`` is zero for requests that are not a conversation."""

    texts: tuple[str, ...]
    messages: int = 0
    names: int = 0
    opaque_bytes: int = 0
    media: int = 0
    counted: int = 0


class Estimate(msgspec.Struct, frozen=True):
    """The bound of a call: provider tokens of the prompt, of each choice's output, and the weighted whole."""

    prompt: int
    output: int
    choices: int
    tokens: int


def prompt_tokens(prompt: Prompt, count: Callable[[str], int] | None) -> int:
    """Provider tokens of the prompt: exact for plain text with a tokenizer, a bound otherwise."""
    text = sum(map(count, prompt.texts)) if count else sum(len(part.encode()) for part in prompt.texts)
    wrapping = TOKENS_PER_MESSAGE * prompt.messages + TOKENS_PER_NAME * prompt.names
    if prompt.messages:
        wrapping += REPLY_PRIMING
    return text + wrapping + prompt.opaque_bytes + MEDIA_TOKENS * prompt.media + prompt.counted


def default_cap(
    *, prompt: int, choices: int, weights: Weights, model_cap: int, tier_cap: int, context_left: int, capacity: int
) -> int:
    """The output cap of a call that names none: the least of the model's, the tier's, the context's and what fits the
    bucket after the prompt. Zero or less: the call can never fit.
    """
    bucket_left = capacity * MILLI - prompt * input_weight(weights)
    if bucket_left < 0:
        return 0
    fits_bucket = bucket_left // (choices * weights.output) if weights.output else model_cap
    return min(model_cap, tier_cap, context_left, fits_bucket)


def estimate(*, prompt: int, output: int, choices: int, weights: Weights) -> Estimate:
    """Bound a call of ``choices`` answers of at most ``output`` tokens each."""
    milli = prompt * input_weight(weights) + output * choices * weights.output
    return Estimate(prompt, output, choices, -(-milli // MILLI))


def input_weight(weights: Weights) -> int:
    """Nobody knows beforehand what the provider will have cached, so the dearer of the two bounds it."""
    return max(weights.input, weights.cached_input)
