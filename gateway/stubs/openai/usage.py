"""The ``usage`` object, true or as a fault wants it."""

from typing import Any

from gateway.stubs.faults import Faults

HUGE = 2**63
"""One more than a signed 64-bit integer holds."""


def chat_usage(prompt: int, completion: int, cached: int, reasoning: int) -> dict[str, Any]:
    """The usage of a chat completion, in tokens. ``completion`` includes ``reasoning``, ``prompt`` ``cached``."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def embedding_usage(prompt: int) -> dict[str, Any]:
    """The usage of embeddings, in tokens."""
    return {"prompt_tokens": prompt, "total_tokens": prompt}


def reported(usage: dict[str, Any], faults: Faults) -> dict[str, Any] | None:
    """What is told to the client in place of the true ``usage``; ``None``: nothing."""
    if "no-usage" in faults:
        return None
    name = "completion_tokens" if "completion_tokens" in usage else "prompt_tokens"
    if "usage-string" in faults:
        return usage | {name: str(usage[name]), "total_tokens": str(usage["total_tokens"])}
    wrong = _wrong(faults)
    if wrong is None:
        return usage
    return usage | {name: wrong, "total_tokens": usage["total_tokens"] - usage[name] + wrong}


def _wrong(faults: Faults) -> int | None:
    if "usage-negative" in faults:
        return -1000
    if "usage-huge" in faults:
        return HUGE
    return faults.number("wrong-usage")
