"""What may be poured, by the three strategies: values and whole numbers, no clock, no store.

A bucket's level rises with every pour and falls with time; a pour fits while level + pour <= capacity. Capacities and
pours are tokens. The level is micro-tokens and the leak milli-tokens per second, which is the same number as
micro-tokens per millisecond, so that leaking is one multiplication and nothing is lost between two steps.

All three strategies are kept as a level. The leaky bucket leaks it. The token bucket is its mirror image: what is
available is the capacity less the level, a new one starts full, and a lower capacity takes the surplus away. The fixed
window empties at once when it ends. ``lua/bucket.lua`` is this module in Valkey; a test holds the two against each
other, so change both.

Shape: a pour that would fit within a bounded wait is made at once, for the moment at which it fits: its start. The
state's moment then lies in the future, and the next start is at that moment or later: the level is what is in the
bucket when the last of the queue starts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from apps.core.units import MICRO

MAX_CAPACITY = 10**9
"""Tokens. A full bucket is 10**15 micro-tokens."""

MAX_LEAK = 10**12
"""Milli-tokens per second: the largest bucket empties within a second."""

MAX_LEVEL = 4 * 10**15
"""Micro-tokens. Overruns lift a level no higher, so that every sum stays below 2**53, where Lua's doubles are exact."""

MAX_WAIT_MS = 600_000
"""The longest wait that shaping may promise."""

FOREVER_MS = 2**63 - 1
"""The wait for a bucket that does not leak."""

SHORTEST_WINDOW_MS = 1000

REQUEST = 60_000
"""Units of a request in the bucket of requests per minute: it leaks as many units per ms as requests per minute."""


class Strategy(StrEnum):
    """How a bucket fills and empties."""

    LEAKY_BUCKET = "LEAKY_BUCKET"
    TOKEN_BUCKET = "TOKEN_BUCKET"  # noqa: S105 (a strategy)
    FIXED_WINDOW = "FIXED_WINDOW"


class Mode(StrEnum):
    """What happens to a call that does not fit now: it is refused, or waits for its start."""

    POLICE = "police"
    SHAPE = "shape"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A limit: ``capacity`` in tokens, ``leak`` in milli-tokens per second (0: it never leaks).

    Raises:
        ValueError: out of the bounds within which the arithmetic is exact.
    """

    capacity: int
    leak: int

    def __post_init__(self) -> None:
        if not (1 <= self.capacity <= MAX_CAPACITY and 0 <= self.leak <= MAX_LEAK):
            raise ValueError(f"a bucket needs capacity 1..{MAX_CAPACITY} and leak 0..{MAX_LEAK}, not {self}")


@dataclass(frozen=True, slots=True)
class Policy:
    """All limits of a payer's calls with a provider, multipliers applied. None: no such limit.

    ``window_ms`` is of the fixed window (shorter than a second counts as one); ``max_wait_ms`` of shaping.

    Raises:
        ValueError: a limit out of its bounds, or shaping by another strategy than the leaky bucket.
    """

    bucket: Bucket
    strategy: Strategy = Strategy.LEAKY_BUCKET
    mode: Mode = Mode.POLICE
    max_wait_ms: int = 0
    window_ms: int = 0
    requests_per_minute: int | None = None
    concurrency: int | None = None

    def __post_init__(self) -> None:
        if self.mode is Mode.SHAPE and self.strategy is not Strategy.LEAKY_BUCKET:
            raise ValueError("only a leaky bucket can shape")
        if not 0 <= self.max_wait_ms <= MAX_WAIT_MS or not 0 <= self.window_ms <= 10**12:
            raise ValueError(f"a wait is 0..{MAX_WAIT_MS} ms, a window 0..10**12 ms, not {self}")
        if not all(limit is None or 1 <= limit <= MAX_CAPACITY for limit in self.counts):
            raise ValueError(f"requests per minute and concurrency are 1..{MAX_CAPACITY} or None, not {self}")

    @property
    def counts(self) -> tuple[int | None, int | None]:
        """Requests per minute, and live calls at once."""
        return self.requests_per_minute, self.concurrency

    @property
    def window(self) -> int:
        """Milliseconds that a fixed window is long."""
        return max(self.window_ms, SHORTEST_WINDOW_MS)

    @property
    def patience(self) -> int:
        """Milliseconds that a call may be made to wait for its start."""
        return self.max_wait_ms if self.mode is Mode.SHAPE else 0


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a bucket: its level, and the latest moment (Unix milliseconds) at which that was true.

    With shaping that is the last start, which may lie ahead; with a fixed window the moment at which the window began.
    """

    level_micro: int = 0
    updated_ms: int = 0


@dataclass(slots=True, unsafe_hash=True)
class Decision:
    """Whether a pour fitted.

    ``level_micro`` is the level now, with the pour if it was allowed; with shaping, that at the call's start, which is
    in ``start_in_ms``. ``wait_ms`` is how long until a refused pour would be allowed, exactly, if nobody else pours;
    0 when it was. A pour larger than the bucket never fits: then ``fits_ever`` is False and there is nothing to wait
    for.
    """

    allowed: bool
    level_micro: int
    bucket: Bucket
    wait_ms: int = 0
    fits_ever: bool = True
    start_in_ms: int = 0
    empty_in_ms: int = 0

    @property
    def capacity(self) -> int:
        """Tokens that the bucket holds."""
        return self.bucket.capacity

    @property
    def level(self) -> int:
        """Tokens in the bucket, a started one counted."""
        return ceil_div(self.level_micro, MICRO)

    @property
    def remaining(self) -> int:
        """Whole tokens that would fit now; 0 when the level is above the capacity."""
        return max(self.capacity * MICRO - self.level_micro, 0) // MICRO


def pour(state: State, policy: Policy, tokens: int, now_ms: int) -> tuple[State, Decision]:
    """Pour ``tokens`` if they fit at ``now_ms``, or soon enough. A refusal leaves the state as it was.

    Raises:
        ValueError: fewer than no tokens.
    """
    if tokens < 0:
        raise ValueError("a pour is never negative; adjust takes tokens out")
    bucket, now = policy.bucket, settled(state, policy, now_ms)
    empty_in = empty_in_ms(now, policy, now_ms)
    if tokens > bucket.capacity:
        return state, Decision(False, now.level_micro, bucket, fits_ever=False, empty_in_ms=empty_in)  # noqa: FBT003
    wait_ms = wait_of(now, policy, tokens, now_ms)
    if wait_ms > policy.patience:
        wait_ms = wait_ms if wait_ms == FOREVER_MS else wait_ms - policy.patience
        return state, Decision(False, now.level_micro, bucket, wait_ms, empty_in_ms=empty_in)  # noqa: FBT003
    poured = _poured(now, policy, tokens)
    start_in = poured.updated_ms - now_ms if policy.mode is Mode.SHAPE else 0
    empty_in = empty_in_ms(poured, policy, now_ms)
    return poured, Decision(True, poured.level_micro, bucket, start_in_ms=start_in, empty_in_ms=empty_in)  # noqa: FBT003


def grow(state: State, policy: Policy, tokens: int, now_ms: int) -> tuple[State, Decision]:
    """Pour ``tokens`` more for a call under way, if there is room now. A refusal leaves the state as it was.

    The call has its place: where calls are shaped, it waits for none of those that are still to start.
    """
    bucket, now = policy.bucket, settled(state, policy, now_ms)
    if tokens > bucket.capacity:
        return state, Decision(False, now.level_micro, bucket, fits_ever=False)  # noqa: FBT003
    if now.level_micro + (tokens - bucket.capacity) * MICRO > 0:
        return state, Decision(False, now.level_micro, bucket, wait_of(now, policy, tokens, now_ms))  # noqa: FBT003
    grown = State(now.level_micro + tokens * MICRO, now.updated_ms)
    return grown, Decision(True, grown.level_micro, bucket)  # noqa: FBT003


def wait_of(now: State, policy: Policy, tokens: int, now_ms: int) -> int:
    """Milliseconds until ``tokens`` would fit, in a state that is settled at ``now_ms``.

    Where the clock was set back, a bucket leaks again only when the clock is where it was.
    """
    excess = now.level_micro + (tokens - policy.bucket.capacity) * MICRO
    if excess <= 0:
        return now.updated_ms - now_ms if policy.mode is Mode.SHAPE else 0
    if policy.strategy is Strategy.FIXED_WINDOW:
        return now.updated_ms + policy.window - now_ms
    drained = drain_ms(excess, policy.bucket.leak)
    return drained if drained == FOREVER_MS else now.updated_ms - now_ms + drained


def adjust(state: State, policy: Policy, delta_tokens: int, now_ms: int, poured_ms: int = 0) -> State:
    """Correct a pour by what the call really used: never below empty, above the capacity if it overran.

    A fixed window that began after the pour was made gives nothing back: the pour was not in it.
    """
    now = settled(state, policy, now_ms)
    if policy.strategy is Strategy.FIXED_WINDOW and delta_tokens < 0 and poured_ms < now.updated_ms:
        return now
    return _with_level(now, now.level_micro + delta_tokens * MICRO)


def leave(state: State, policy: Policy, tokens: int, now_ms: int, starts: Sequence[int] = ()) -> State:
    """Take out the whole pour of a call that leaves before its start, and give its place to who comes next.

    ``starts`` are those of the calls that still wait: none that comes later may start before one of them. The state's
    moment goes back to where the bucket is full, or to the last of those: before that nothing could start anyway.
    """
    now = adjust(state, policy, -tokens, now_ms)
    room, leak = policy.bucket.capacity * MICRO - now.level_micro, policy.bucket.leak
    if policy.mode is not Mode.SHAPE or leak == 0 or room < 0:
        return now
    earliest = max(now_ms, *starts, now.updated_ms - room // leak)
    if earliest >= now.updated_ms:
        return now
    return State(now.level_micro + leak * (now.updated_ms - earliest), earliest)


def settled(state: State, policy: Policy, now_ms: int) -> State:
    """The state at ``now_ms``. A clock that was set back leaks nothing, and time in the state never runs backwards."""
    if policy.strategy is Strategy.FIXED_WINDOW:
        return State(0, now_ms) if now_ms >= state.updated_ms + policy.window else state
    leak = policy.bucket.leak
    elapsed = min(max(now_ms - state.updated_ms, 0), drain_ms(state.level_micro, leak))
    return State(max(state.level_micro - elapsed * leak, 0), max(state.updated_ms, now_ms))


def count_request(state: State, per_minute: int, now_ms: int) -> tuple[State, int]:
    """Count a request against requests per minute. Returns the state at ``now_ms`` and how many ms to wait.

    0: it was counted. A refusal counts nothing.
    """
    elapsed = min(max(now_ms - state.updated_ms, 0), drain_ms(state.level_micro, per_minute))
    level, at = max(state.level_micro - elapsed * per_minute, 0), max(state.updated_ms, now_ms)
    excess = level + REQUEST - per_minute * REQUEST
    if excess > 0:
        return State(level, at), at - now_ms + drain_ms(excess, per_minute)
    return State(level + REQUEST, at), 0


def empty_in_ms(now: State, policy: Policy, now_ms: int) -> int:
    """Milliseconds until a bucket that is settled at ``now_ms`` is empty, if nobody pours."""
    if now.level_micro == 0:
        return 0
    if policy.strategy is Strategy.FIXED_WINDOW:
        return now.updated_ms + policy.window - now_ms
    drained = drain_ms(now.level_micro, policy.bucket.leak)
    return drained if drained == FOREVER_MS else now.updated_ms - now_ms + drained


def drain_ms(level_micro: int, leak: int) -> int:
    """Milliseconds until so much has leaked."""
    if level_micro <= 0:
        return 0
    return FOREVER_MS if leak == 0 else ceil_div(level_micro, leak)


def ceil_div(dividend: int, divisor: int) -> int:
    """The quotient of whole numbers, rounded up."""
    return -(-dividend // divisor)


def _poured(now: State, policy: Policy, tokens: int) -> State:
    """A state with a pour that fits: at once, or, with shaping, at the moment at which it does."""
    if policy.mode is Mode.POLICE:
        return State(now.level_micro + tokens * MICRO, now.updated_ms)
    leak = policy.bucket.leak
    delay = drain_ms(now.level_micro + (tokens - policy.bucket.capacity) * MICRO, leak)
    return State(max(now.level_micro - delay * leak, 0) + tokens * MICRO, now.updated_ms + delay)


def _with_level(state: State, level_micro: int) -> State:
    return State(min(max(level_micro, 0), MAX_LEVEL), state.updated_ms)
