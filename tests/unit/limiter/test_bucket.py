"""The bucket's arithmetic: exact to the micro-token, exact to the millisecond, below 2**53."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apps.core.units import MICRO
from apps.limiter.domain import MAX_CAPACITY, MAX_LEAK, MAX_LEVEL, Bucket, State, adjust, pour, pour_all

NOW = 1_800_000_000_000
EMPTY = State()

buckets = st.builds(
    Bucket,
    capacity=st.one_of(st.integers(1, 1000), st.integers(1, MAX_CAPACITY)),
    leak=st.one_of(st.integers(1, 10_000), st.integers(1, MAX_LEAK)),
)
states = st.builds(State, level_micro=st.integers(0, MAX_LEVEL), updated_ms=st.integers(NOW - 10**7, NOW + 10**7))


def test_a_pour_that_exactly_fills_the_bucket_fits() -> None:
    state, decision = pour(EMPTY, Bucket(100, 1000), 100, NOW)
    assert (decision.allowed, decision.level, decision.remaining, decision.wait_ms) == (True, 100, 0, 0)
    assert state == State(100 * MICRO, NOW)


def test_a_refusal_says_when_and_changes_nothing() -> None:
    full = State(100 * MICRO, NOW)
    state, decision = pour(full, Bucket(100, 1000), 3, NOW + 500)
    assert state == full
    assert (decision.allowed, decision.level, decision.remaining) == (False, 100, 0)
    assert (decision.wait_ms, decision.empty_in_ms) == (2500, 99_500)


def test_a_pour_larger_than_the_bucket_never_fits() -> None:
    state, decision = pour(EMPTY, Bucket(100, 1000), 101, NOW)
    assert (state, decision.allowed, decision.fits_ever, decision.wait_ms) == (EMPTY, False, False, 0)


def test_no_fraction_of_the_leak_is_lost_between_calls() -> None:
    """At 10/s with a call every 150 ms, whole tokens per step would leak one of every one and a half."""
    state, bucket = State(1000 * MICRO, NOW), Bucket(1000, 10_000)
    for step in range(1, 401):
        state = adjust(state, bucket, 0, NOW + 150 * step)
    assert state.level_micro == 400 * MICRO


def test_a_clock_set_back_leaks_nothing_and_time_in_the_state_stays() -> None:
    state, bucket = State(100 * MICRO, NOW), Bucket(100, 1000)
    assert adjust(state, bucket, 0, NOW - 3_600_000) == state
    _, decision = pour(state, bucket, 1, NOW - 3_600_000)
    assert decision.wait_ms == 3_601_000


def test_unused_tokens_come_out_but_never_below_empty() -> None:
    state = State(80 * MICRO, NOW)
    assert adjust(state, Bucket(100, 1000), -30, NOW).level_micro == 50 * MICRO
    assert adjust(state, Bucket(100, 1000), -81, NOW).level_micro == 0


def test_an_overrun_lifts_the_level_above_the_capacity() -> None:
    bucket = Bucket(100, 1000)
    over = adjust(State(100 * MICRO, NOW), bucket, 50, NOW)
    _, decision = pour(over, bucket, 0, NOW)
    assert (over.level_micro, decision.allowed, decision.remaining, decision.wait_ms) == (150 * MICRO, False, 0, 50_000)


def test_all_or_none_and_the_longest_wait_is_told() -> None:
    small, slow = Bucket(10, 1000), Bucket(100, 10)
    states = [State(5 * MICRO, NOW), State(100 * MICRO, NOW)]
    after, decision = pour_all(states, [small, slow], 6, NOW)
    assert (after, decision.bucket, decision.wait_ms) == (states, slow, 600_000)
    after, decision = pour_all(states, [small, slow], 11, NOW)
    assert (after, decision.bucket, decision.fits_ever) == (states, small, False)
    after, decision = pour_all([EMPTY, EMPTY], [small, slow], 6, NOW)
    assert [state.level_micro for state in after] == [6 * MICRO, 6 * MICRO]
    assert (decision.bucket, decision.remaining) == (small, 4)


@pytest.mark.parametrize(
    ("capacity", "leak"), [(0, 1), (1, 0), (-1, 1), (1, -1), (MAX_CAPACITY + 1, 1), (1, MAX_LEAK + 1)]
)
def test_a_bucket_out_of_bounds_is_refused(capacity: int, leak: int) -> None:
    with pytest.raises(ValueError, match="a bucket needs"):
        Bucket(capacity, leak)


def test_a_negative_pour_is_refused() -> None:
    with pytest.raises(ValueError, match="never negative"):
        pour(EMPTY, Bucket(1, 1), -1, NOW)


@given(
    bucket=buckets,
    share=st.integers(1, 10**6),
    excess_micro=st.integers(1, 10**15),
    elapsed_ms=st.integers(-(10**8), 1000),
)
@example(bucket=Bucket(1, 3), share=10**6, excess_micro=1, elapsed_ms=0)
def test_the_wait_of_a_refusal_is_exact(bucket: Bucket, share: int, excess_micro: int, elapsed_ms: int) -> None:
    tokens = -(-bucket.capacity * share // 10**6)
    leaked = max(elapsed_ms, 0) * bucket.leak
    state = State((bucket.capacity - tokens) * MICRO + excess_micro + leaked, NOW)
    now = NOW + elapsed_ms
    _, refusal = pour(state, bucket, tokens, now)
    assert (refusal.allowed, refusal.wait_ms > 0) == (False, True)
    assert pour(state, bucket, tokens, now + refusal.wait_ms)[1].allowed
    assert not pour(state, bucket, tokens, now + refusal.wait_ms - 1)[1].allowed


@given(state=states, bucket=buckets, delta=st.integers(-(2**53), 2**53), now=st.integers(0, NOW + 10**12))
def test_levels_stay_where_doubles_are_exact(state: State, bucket: Bucket, delta: int, now: int) -> None:
    after = adjust(state, bucket, delta, now)
    assert 0 <= after.level_micro <= MAX_LEVEL
    assert MAX_LEVEL + 2 * bucket.capacity * MICRO + bucket.leak < 2**53
    assert after.updated_ms >= state.updated_ms


@dataclass(frozen=True)
class Step:
    elapsed_ms: int
    tokens: int


steps = st.lists(st.builds(Step, elapsed_ms=st.integers(-200, 2000), tokens=st.integers(0, 40)), max_size=60)


@given(bucket=st.builds(Bucket, capacity=st.integers(1, 60), leak=st.integers(1, 50_000)), steps=steps)
def test_over_any_window_no_more_than_capacity_and_leak_is_admitted(bucket: Bucket, steps: Sequence[Step]) -> None:
    """Also when the clock jumps back: a window's length is then how far time got beyond where it had been."""
    state, admitted, clock = EMPTY, [], list(accumulate((step.elapsed_ms for step in steps), initial=NOW))[1:]
    latest = list(accumulate(clock, max))
    for now, step in zip(clock, steps, strict=True):
        state, decision = pour(state, bucket, step.tokens, now)
        admitted.append(step.tokens * decision.allowed)
    for start in range(len(steps)):
        total = 0
        for end in range(start, len(steps)):
            total += admitted[end]
            assert total * MICRO <= bucket.capacity * MICRO + bucket.leak * (latest[end] - latest[start])
