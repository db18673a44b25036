"""The leaky bucket as a meter: values and whole numbers, no clock, no store.

The level rises with every pour and leaks with time; a pour fits while level + pour <= capacity. Capacities and pours
are tokens. The level is micro-tokens and the leak milli-tokens per second, which is the same number as micro-tokens per
millisecond, so that leaking is one multiplication and nothing is lost between two steps. ``leaky_bucket.lua`` is this
module in Valkey; a test holds the two against each other, so change both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from apps.core.units import MICRO

MAX_CAPACITY = 10**9
"""Tokens. A full bucket is 10**15 micro-tokens."""

MAX_LEAK = 10**12
"""Milli-tokens per second: the largest bucket empties within a second."""

MAX_LEVEL = 4 * 10**15
"""Micro-tokens. Overruns lift a level no higher, so that every sum stays below 2**53, where Lua's doubles are exact."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A limit: ``capacity`` in tokens, ``leak`` in milli-tokens per second.

    Raises:
        ValueError: out of the bounds within which the arithmetic is exact.
    """

    capacity: int
    leak: int

    def __post_init__(self) -> None:
        if not (1 <= self.capacity <= MAX_CAPACITY and 1 <= self.leak <= MAX_LEAK):
            raise ValueError(f"a bucket needs capacity 1..{MAX_CAPACITY} and leak 1..{MAX_LEAK}, not {self}")


@dataclass(frozen=True, slots=True)
class State:
    """What is stored of a bucket: its level, and the latest moment (Unix milliseconds) at which that was true."""

    level_micro: int = 0
    updated_ms: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a pour fitted. Where several buckets were asked, ``bucket`` is the one that decided.

    ``level_micro`` is the level now, with the pour if it was allowed. ``wait_ms`` is how long until a refused pour
    would fit, exactly, if nobody else pours; 0 when it was allowed. A pour larger than the bucket never fits: then
    ``fits_ever`` is False and there is nothing to wait for.
    """

    allowed: bool
    level_micro: int
    bucket: Bucket
    wait_ms: int = 0
    fits_ever: bool = True

    @property
    def capacity(self) -> int:
        """Tokens that the bucket holds."""
        return self.bucket.capacity

    @property
    def level(self) -> int:
        """Tokens in the bucket, a started one counted."""
        return _ceil_div(self.level_micro, MICRO)

    @property
    def remaining(self) -> int:
        """Whole tokens that would fit now; 0 when the level is above the capacity."""
        return max(room_micro(self), 0) // MICRO

    @property
    def empty_in_ms(self) -> int:
        """Milliseconds until the bucket is empty, if nobody pours."""
        return _ceil_div(self.level_micro, self.bucket.leak)


def pour(state: State, bucket: Bucket, tokens: int, now_ms: int) -> tuple[State, Decision]:
    """Pour ``tokens`` if they fit at ``now_ms``. A refusal leaves the state as it was.

    Raises:
        ValueError: fewer than no tokens.
    """
    if tokens < 0:
        raise ValueError("a pour is never negative; adjust takes tokens out")
    now = _leaked(state, bucket, now_ms)
    excess = now.level_micro + tokens * MICRO - bucket.capacity * MICRO
    if tokens > bucket.capacity:
        return state, Decision(allowed=False, level_micro=now.level_micro, bucket=bucket, fits_ever=False)
    if excess > 0:
        # Where the clock was set back, the bucket leaks again only when the clock is where it was.
        wait_ms = now.updated_ms - now_ms + _ceil_div(excess, bucket.leak)
        return state, Decision(allowed=False, level_micro=now.level_micro, bucket=bucket, wait_ms=wait_ms)
    poured = State(now.level_micro + tokens * MICRO, now.updated_ms)
    return poured, Decision(allowed=True, level_micro=poured.level_micro, bucket=bucket)


def pour_all(
    states: Sequence[State], buckets: Sequence[Bucket], tokens: int, now_ms: int
) -> tuple[Sequence[State], Decision]:
    """Pour ``tokens`` into every bucket or into none.

    The decision is that of the bucket with the longest wait, one that never fits before all; of several that allowed,
    that of the one with the least room left.
    """
    results = [pour(state, bucket, tokens, now_ms) for state, bucket in zip(states, buckets, strict=True)]
    decisions = [decision for _, decision in results]
    refusals = [decision for decision in decisions if not decision.allowed]
    if refusals:
        return states, max(refusals, key=lambda refusal: (not refusal.fits_ever, refusal.wait_ms))
    return [state for state, _ in results], min(decisions, key=room_micro)


def adjust(state: State, bucket: Bucket, delta_tokens: int, now_ms: int) -> State:
    """Correct an earlier pour by what the call really used: never below empty, above the capacity if it overran."""
    now = _leaked(state, bucket, now_ms)
    level = now.level_micro + delta_tokens * MICRO
    return State(min(max(level, 0), MAX_LEVEL), now.updated_ms)


def room_micro(decision: Decision) -> int:
    """Micro-tokens between level and capacity; negative when the bucket is overfull."""
    return decision.capacity * MICRO - decision.level_micro


def _leaked(state: State, bucket: Bucket, now_ms: int) -> State:
    """The state at ``now_ms``. A clock that was set back leaks nothing, and time in the state never runs backwards."""
    until_empty = _ceil_div(state.level_micro, bucket.leak)
    elapsed = min(max(now_ms - state.updated_ms, 0), until_empty)
    return State(max(state.level_micro - elapsed * bucket.leak, 0), max(state.updated_ms, now_ms))


def _ceil_div(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
