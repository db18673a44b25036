"""Shaping: starts in order, within the wait that was promised, never faster than the bucket leaks."""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from apps.core.units import MICRO
from apps.limiter.domain import Bucket, Decision, Mode, Policy, State, adjust, leave, pour

NOW = 1_800_000_000_000
EMPTY = State()


def shaped(capacity: int, leak: int, max_wait_ms: int) -> Policy:
    return Policy(Bucket(capacity, leak), mode=Mode.SHAPE, max_wait_ms=max_wait_ms)


def poured(state: State, policy: Policy, *amounts: int, now: int = NOW) -> tuple[State, list[Decision]]:
    decisions = []
    for tokens in amounts:
        state, decision = pour(state, policy, tokens, now)
        decisions.append(decision)
    return state, decisions


def test_a_call_waits_until_it_fits() -> None:
    _, decisions = poured(EMPTY, shaped(100, 10_000, 30_000), 60, 60, 100, 1)
    assert [decision.start_in_ms for decision in decisions] == [0, 2000, 12_000, 12_100]
    assert all(decision.allowed for decision in decisions)


def test_a_longer_wait_than_the_bound_is_refused_with_how_long_until_it_is_not() -> None:
    policy = shaped(100, 10_000, 5000)
    state, decisions = poured(EMPTY, policy, 100, 50, 1)
    assert [(decision.allowed, decision.start_in_ms, decision.wait_ms) for decision in decisions] == [
        (True, 0, 0),
        (True, 5000, 0),
        (False, 0, 100),
    ]
    assert not pour(state, policy, 1, NOW + 99)[1].allowed
    assert pour(state, policy, 1, NOW + 100)[1].start_in_ms == 5000


def test_a_bucket_that_does_not_leak_makes_nobody_wait() -> None:
    _, decisions = poured(EMPTY, shaped(100, 0, 5000), 100, 1)
    assert [decision.allowed for decision in decisions] == [True, False]


def test_who_leaves_gives_pour_and_place_to_who_comes_next() -> None:
    policy = shaped(100, 10_000, 60_000)
    state, _ = poured(EMPTY, policy, 100)
    waiting, (decision,) = poured(state, policy, 80)
    assert decision.start_in_ms == 8000
    left = leave(waiting, policy, 80, NOW + 1000)
    assert pour(left, policy, 80, NOW + 1000)[1].start_in_ms == 7000
    assert pour(left, policy, 10, NOW + 1000)[1].start_in_ms == 0


def test_nobody_starts_before_one_that_came_earlier_and_still_waits() -> None:
    policy = shaped(100, 10_000, 60_000)
    state, decisions = poured(EMPTY, policy, 100, 50, 40)
    assert [decision.start_in_ms for decision in decisions] == [0, 5000, 9000]
    left = leave(state, policy, 50, NOW, [NOW + 9000])
    assert pour(left, policy, 1, NOW)[1].start_in_ms == 9000
    left = leave(state, policy, 40, NOW, [NOW + 5000])
    assert pour(left, policy, 1, NOW)[1].start_in_ms == 5100


def test_what_calls_did_not_use_shortens_the_wait_of_who_comes_next() -> None:
    policy = shaped(100, 10_000, 60_000)
    state, _ = poured(EMPTY, policy, 100)
    assert pour(adjust(state, policy, -60, NOW), policy, 60, NOW)[1].start_in_ms == 0


@dataclass(frozen=True)
class Step:
    """Time passes; a call comes; now and then one that waits leaves, or one that ran gives unused tokens back."""

    elapsed_ms: int
    tokens: int
    leaves: int
    unused: int


@dataclass
class Waiting:
    start: int
    tokens: int
    left: bool = False


steps = st.lists(
    st.builds(
        Step,
        elapsed_ms=st.integers(0, 900) | st.integers(0, 20_000),
        tokens=st.integers(0, 40),
        leaves=st.integers(0, 8),
        unused=st.just(0) | st.integers(0, 30),
    ),
    max_size=50,
)
shapes = st.builds(shaped, st.integers(1, 60), st.integers(0, 30_000), st.sampled_from([0, 500, 10_000, 600_000]))


def walk(policy: Policy, steps: Sequence[Step]) -> tuple[list[Waiting], int]:
    """All calls that were let in, in the order in which they came, and all tokens that came back."""
    state, now, calls, came_back = EMPTY, NOW, list[Waiting](), 0
    for step in steps:
        now += step.elapsed_ms
        queue = [call for call in calls if call.start > now and not call.left]
        if queue and step.leaves:
            leaver = queue[step.leaves % len(queue)]
            leaver.left = True
            state = leave(state, policy, leaver.tokens, now, [call.start for call in queue if not call.left])
        if step.unused:
            came_back += step.unused
            state = adjust(state, policy, -step.unused, now)
        state, decision = pour(state, policy, step.tokens, now)
        if decision.allowed:
            assert 0 <= decision.start_in_ms <= policy.max_wait_ms
            calls.append(Waiting(now + decision.start_in_ms, step.tokens))
    return calls, came_back


@given(policy=shapes, steps=steps)
def test_starts_are_in_order_and_never_exceed_capacity_and_leak(policy: Policy, steps: Sequence[Step]) -> None:
    calls, came_back = walk(policy, steps)
    started = [call for call in calls if not call.left]
    starts = [call.start for call in started]
    assert starts == sorted(starts)
    for first in range(len(started)):
        total = 0
        for last in range(first, len(started)):
            total += started[last].tokens
            leaked = policy.bucket.leak * (starts[last] - starts[first])
            assert (total - came_back) * MICRO <= policy.bucket.capacity * MICRO + leaked


@given(policy=shapes, amounts=st.lists(st.integers(1, 40), max_size=20))
def test_who_comes_after_all_waiting_have_left_waits_as_if_they_had_not_come(
    policy: Policy, amounts: list[int]
) -> None:
    """But for a millisecond each: a start is at a whole one, and an empty bucket does not know since when it is so."""
    full, _ = pour(EMPTY, policy, policy.bucket.capacity, NOW)
    state, waiting = full, list[Waiting]()
    for tokens in amounts:
        state, decision = pour(state, policy, tokens, NOW)
        if decision.allowed:
            waiting.append(Waiting(NOW + decision.start_in_ms, tokens))
    while waiting:
        leaver = waiting.pop()
        state = leave(state, policy, leaver.tokens, NOW, [call.start for call in waiting])
    alone, after = pour(full, policy, 1, NOW)[1], pour(state, policy, 1, NOW)[1]
    if after.allowed:
        assert alone.start_in_ms <= after.start_in_ms <= alone.start_in_ms + len(amounts)
