"""Tokens, weights and money: whole numbers only.

A *token* here is the unit of every account, bucket and event: what the provider reports as used, times the model's
weights. Weights are milli-units (1000 = one token for one), summed over the kinds and rounded up once per call, so that
the sum of a call's parts never exceeds the call by more than one token.
"""

from dataclasses import dataclass

MICRO = 1_000_000
"""Micro-tokens in a token: the unit of the bucket's level."""

MILLI = 1_000
"""Milli-units in a weight of one."""

MAX_TOKENS = 9 * 10**15
"""Largest amount in any account: below 2**53, where Lua's doubles stop being exact."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What one provider token of each kind costs, in milli-tokens."""

    input: int = MILLI
    cached_input: int = MILLI
    output: int = MILLI


@dataclass(slots=True, unsafe_hash=True)
class Usage:
    """Provider tokens of one call. ``cached_input`` is a part of ``input``, ``reasoning`` a part of ``output``."""

    input: int = 0
    cached_input: int = 0
    output: int = 0
    reasoning: int = 0


def weigh(usage: Usage, weights: Weights) -> int:
    """Tokens that a usage costs: each kind times its weight, rounded up once."""
    fresh = usage.input - usage.cached_input
    milli = fresh * weights.input + usage.cached_input * weights.cached_input + usage.output * weights.output
    return -(-milli // MILLI)
