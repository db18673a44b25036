"""The buckets' arithmetic: exact to the micro-token, exact to the millisecond, below 2**53."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apps.core.units import MICRO
from apps.limiter.domain import (
    FOREVER_MS,
    MAX_CAPACITY,
    MAX_LEAK,
    MAX_LEVEL,
    REQUEST,
    Bucket,
    Mode,
    Policy,
    State,
    Strategy,
    adjust,
    count_request,
    grow,
    pour,
)

NOW = 1_800_000_000_000
EMPTY = State()

buckets = st.builds(
    Bucket,
    capacity=st.one_of(st.integers(1, 1000), st.integers(1, MAX_CAPACITY)),
    leak=st.one_of(st.integers(1, 10_000), st.integers(1, MAX_LEAK)),
)
policies = st.builds(Policy, buckets, st.sampled_from([Strategy.LEAKY_BUCKET, Strategy.TOKEN_BUCKET]))
states = st.builds(State, level_micro=st.integers(0, MAX_LEVEL), updated_ms=st.integers(NOW - 10**7, NOW + 10**7))


def leaky(capacity: int, leak: int) -> Policy:
    return Policy(Bucket(capacity, leak))


def test_a_pour_that_exactly_fills_the_bucket_fits() -> None:
    state, decision = pour(EMPTY, leaky(100, 1000), 100, NOW)
    assert (decision.allowed, decision.level, decision.remaining, decision.wait_ms) == (True, 100, 0, 0)
    assert state == State(100 * MICRO, NOW)


def test_a_refusal_says_when_and_changes_nothing() -> None:
    full = State(100 * MICRO, NOW)
    state, decision = pour(full, leaky(100, 1000), 3, NOW + 500)
    assert state == full
    assert (decision.allowed, decision.level, decision.remaining) == (False, 100, 0)
    assert (decision.wait_ms, decision.empty_in_ms) == (2500, 99_500)


def test_a_pour_larger_than_the_bucket_never_fits() -> None:
    state, decision = pour(EMPTY, leaky(100, 1000), 101, NOW)
    assert (state, decision.allowed, decision.fits_ever, decision.wait_ms) == (EMPTY, False, False, 0)


def test_no_fraction_of_the_leak_is_lost_between_calls() -> None:
    """At 10/s with a call every 150 ms, whole tokens per step would leak one of every one and a half."""
    state, policy = State(1000 * MICRO, NOW), leaky(1000, 10_000)
    for step in range(1, 401):
        state = adjust(state, policy, 0, NOW + 150 * step)
    assert state.level_micro == 400 * MICRO


def test_a_clock_set_back_leaks_nothing_and_time_in_the_state_stays() -> None:
    state, policy = State(100 * MICRO, NOW), leaky(100, 1000)
    assert adjust(state, policy, 0, NOW - 3_600_000) == state
    _, decision = pour(state, policy, 1, NOW - 3_600_000)
    assert decision.wait_ms == 3_601_000


def test_unused_tokens_come_out_but_never_below_empty() -> None:
    state = State(80 * MICRO, NOW)
    assert adjust(state, leaky(100, 1000), -30, NOW).level_micro == 50 * MICRO
    assert adjust(state, leaky(100, 1000), -81, NOW).level_micro == 0


def test_an_overrun_lifts_the_level_above_the_capacity() -> None:
    policy = leaky(100, 1000)
    over = adjust(State(100 * MICRO, NOW), policy, 50, NOW)
    _, decision = pour(over, policy, 0, NOW)
    assert (over.level_micro, decision.allowed, decision.remaining, decision.wait_ms) == (150 * MICRO, False, 0, 50_000)


@pytest.mark.parametrize(("capacity", "leak"), [(0, 1), (-1, 1), (1, -1), (MAX_CAPACITY + 1, 1), (1, MAX_LEAK + 1)])
def test_a_bucket_out_of_bounds_is_refused(capacity: int, leak: int) -> None:
    with pytest.raises(ValueError, match="a bucket needs"):
        Bucket(capacity, leak)


def test_a_negative_pour_is_refused() -> None:
    with pytest.raises(ValueError, match="never negative"):
        pour(EMPTY, leaky(1, 1), -1, NOW)


# The original's vectors: CONTRACT, section 3.3. Its seconds are our milliseconds.


def test_a_leaky_bucket_that_does_not_leak_waits_for_ever() -> None:
    _, decision = pour(State(10 * MICRO, NOW), leaky(10, 0), 1, NOW)
    assert (decision.allowed, decision.wait_ms, decision.empty_in_ms) == (False, FOREVER_MS, FOREVER_MS)
    assert decision.wait_ms == 2**63 - 1


def test_a_token_bucket_refills() -> None:
    policy, start = Policy(Bucket(10, 1000), Strategy.TOKEN_BUCKET), State(10 * MICRO, NOW)
    state, decision = pour(start, policy, 5, NOW + 10_000)
    assert (decision.allowed, decision.remaining) == (True, 5)
    _, decision = pour(state, policy, 6, NOW + 10_000)
    assert (decision.allowed, decision.wait_ms) == (False, 1000)


def test_a_new_token_bucket_is_full() -> None:
    _, decision = pour(EMPTY, Policy(Bucket(5, 1000), Strategy.TOKEN_BUCKET), 2, NOW)
    assert (decision.allowed, decision.level, decision.remaining) == (True, 2, 3)


def test_a_fixed_window_begins_with_its_first_pour_and_ends_at_once() -> None:
    policy = Policy(Bucket(5, 1), Strategy.FIXED_WINDOW, window_ms=10_000)
    state, decision = pour(EMPTY, policy, 5, NOW)
    assert decision.allowed
    _, decision = pour(state, policy, 1, NOW + 5000)
    assert (decision.allowed, decision.wait_ms) == (False, 5000)
    _, decision = pour(state, policy, 1, NOW + 11_000)
    assert (decision.allowed, decision.level) == (True, 1)


@pytest.mark.parametrize("window_ms", [0, 1, 999, 1000])
def test_a_window_is_at_least_a_second(window_ms: int) -> None:
    policy = Policy(Bucket(5, 1), Strategy.FIXED_WINDOW, window_ms=window_ms)
    state, _ = pour(EMPTY, policy, 5, NOW)
    assert not pour(state, policy, 1, NOW + 999)[1].allowed
    assert pour(state, policy, 1, NOW + 1000)[1].allowed


def test_a_window_takes_nothing_back_that_was_not_poured_into_it() -> None:
    policy = Policy(Bucket(5, 1), Strategy.FIXED_WINDOW, window_ms=10_000)
    first, _ = pour(EMPTY, policy, 5, NOW)
    second, _ = pour(first, policy, 5, NOW + 10_000)
    assert adjust(second, policy, -5, NOW + 10_001, poured_ms=NOW) == second
    assert adjust(second, policy, -5, NOW + 10_001, poured_ms=NOW + 10_000).level_micro == 0
    assert adjust(second, policy, 2, NOW + 10_001, poured_ms=NOW).level_micro == 7 * MICRO


def test_only_a_leaky_bucket_can_shape() -> None:
    for strategy in (Strategy.TOKEN_BUCKET, Strategy.FIXED_WINDOW):
        with pytest.raises(ValueError, match="only a leaky bucket"):
            Policy(Bucket(1, 1), strategy, Mode.SHAPE)


@pytest.mark.parametrize(
    "limits",
    [{"max_wait_ms": -1}, {"window_ms": -1}, {"requests_per_minute": 0}, {"concurrency": 0}, {"max_wait_ms": 10**9}],
)
def test_a_policy_out_of_bounds_is_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"a wait is|are 1\.\."):
        Policy(Bucket(1, 1), **limits)


def test_requests_per_minute_are_exact() -> None:
    state, admitted = EMPTY, 0
    for elapsed in range(0, 60_001, 37):
        state, wait = count_request(state, 7, NOW + elapsed)
        admitted += wait == 0
    assert admitted == 7 + 7 * 59_977 // 60_000
    state, wait = count_request(State(7 * REQUEST, NOW), 7, NOW)
    assert wait == 8572
    assert count_request(state, 7, NOW + 8571)[1] == 1
    assert count_request(state, 7, NOW + 8572)[1] == 0


@given(
    bucket=buckets,
    share=st.integers(1, 10**6),
    excess_micro=st.integers(1, 10**15),
    elapsed_ms=st.integers(-(10**8), 1000),
)
@example(bucket=Bucket(1, 3), share=10**6, excess_micro=1, elapsed_ms=0)
def test_the_wait_of_a_refusal_is_exact(bucket: Bucket, share: int, excess_micro: int, elapsed_ms: int) -> None:
    policy, tokens = Policy(bucket), -(-bucket.capacity * share // 10**6)
    leaked = max(elapsed_ms, 0) * bucket.leak
    state = State((bucket.capacity - tokens) * MICRO + excess_micro + leaked, NOW)
    now = NOW + elapsed_ms
    _, refusal = pour(state, policy, tokens, now)
    assert (refusal.allowed, refusal.wait_ms > 0) == (False, True)
    assert pour(state, policy, tokens, now + refusal.wait_ms)[1].allowed
    assert not pour(state, policy, tokens, now + refusal.wait_ms - 1)[1].allowed


@given(state=states, policy=policies, delta=st.integers(-(2**53), 2**53), now=st.integers(0, NOW + 10**12))
def test_levels_stay_where_doubles_are_exact(state: State, policy: Policy, delta: int, now: int) -> None:
    after = adjust(state, policy, delta, now)
    assert 0 <= after.level_micro <= MAX_LEVEL
    assert MAX_LEVEL + 2 * policy.bucket.capacity * MICRO + policy.bucket.leak < 2**53
    assert after.updated_ms >= state.updated_ms


@dataclass(frozen=True)
class Step:
    elapsed_ms: int
    tokens: int
    grows: bool = False


steps = st.lists(
    st.builds(Step, elapsed_ms=st.integers(-200, 2000), tokens=st.integers(0, 40), grows=st.booleans()), max_size=60
)


@example(bucket=Bucket(9, 11_195), steps=[Step(-131, 30), Step(-4, 9), Step(806, 9)])
@given(bucket=st.builds(Bucket, capacity=st.integers(1, 60), leak=st.integers(0, 50_000)), steps=steps)
def test_over_any_window_no_more_than_capacity_and_leak_is_admitted(bucket: Bucket, steps: Sequence[Step]) -> None:
    """By new calls and by those that grow.

    Also when the clock jumps back: a window is then as long as time got beyond where the bucket had seen it.
    """
    state, admitted, clock = EMPTY, [], list(accumulate((step.elapsed_ms for step in steps), initial=NOW))[1:]
    seen: list[int] = []
    for now, step in zip(clock, steps, strict=True):
        state, decision = (grow if step.grows else pour)(state, Policy(bucket), step.tokens, now)
        admitted.append(step.tokens * decision.allowed)
        # A refused pour writes nothing, so the bucket has not seen its time.
        seen.append(max([now, *seen[-1:]]) if decision.allowed else max(seen, default=0))
    for start in range(len(steps)):
        total = 0
        for end in range(start, len(steps)):
            total += admitted[end]
            assert total * MICRO <= bucket.capacity * MICRO + bucket.leak * (seen[end] - seen[start])
