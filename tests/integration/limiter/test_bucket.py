"""Bucket and requests per minute on the real Valkey, held against the arithmetic and against the clock."""

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.core.units import MICRO
from apps.limiter.api import (
    Admitted,
    Bucket,
    Limiter,
    Mode,
    Policy,
    Refusal,
    RefusalKind,
    Strategy,
    adjust_call,
    bucket_key,
    pour_call,
    shard_of,
)
from apps.limiter.domain import FOREVER_MS, MAX_CAPACITY, MAX_LEAK, State, adjust, leave, pour

FUTURE = 4_000_000_000_000
SEEDS, STEPS = 200, 100


@pytest.fixture(scope="module")
def limiter() -> Any:
    with Limiter(os.environ["QUOTA_REDIS_URL"]) as limiter:
        yield limiter


@dataclass(frozen=True)
class Step:
    """One call: a pour, a correction, or one that waits leaves; and how far the clock moved since the last."""

    kind: str
    policy: Policy
    tokens: int
    elapsed_ms: int
    poured_ago: int


def walk_of(rng: Random) -> list[Step]:
    """Steps around one scale, so that buckets fill and drain; the limits change now and then, as tiers do."""
    capacity = rng.choice([5, 1000, 100_000, MAX_CAPACITY])
    leak = rng.choice([0, 1, 7, 10_000, 1_000_000, MAX_LEAK])
    strategy, mode = rng.choice(KINDS)
    span = max(4, min(10**11, 2 * capacity * MICRO // max(leak, 1)))
    limits = {"max_wait_ms": min(span, 600_000) if mode is Mode.SHAPE else 0, "window_ms": span}

    def policy() -> Policy:
        bucket = Bucket(rng.randint(capacity * 3 // 4, capacity), rng.randint(leak // 2, leak))
        return Policy(bucket, strategy, mode, **limits)

    def step(policy: Policy) -> Step:
        kind = rng.choice(["pour", "pour", "pour", "adjust", "leave"])
        tokens = rng.choice([rng.randint(0, capacity * 5 // 4), rng.randint(0, capacity // 4)])
        elapsed = rng.choice([rng.randint(-span // 4, span), rng.randint(-1, 3)])
        signed = tokens - capacity // 2 if kind == "adjust" else tokens
        return Step(kind, policy, signed, elapsed, rng.randint(0, span))

    # Of a token bucket what is available is kept, not the level: a new capacity makes another level of it.
    policies = [policy()] * 2 if strategy is Strategy.TOKEN_BUCKET else [policy(), policy()]
    return [step(policies[rng.random() > 0.8]) for _ in range(STEPS)]


KINDS = [(strategy, Mode.POLICE) for strategy in Strategy] + [(Strategy.LEAKY_BUCKET, Mode.SHAPE)] * 2


@dataclass
class Walked:
    """A walk by the arithmetic alone, and the calls that are to say the same."""

    account: UUID = field(default_factory=uuid4)
    state: State = field(default_factory=State)
    now: int = FUTURE
    calls: list[Any] = field(default_factory=list)
    expected: list[Any] = field(default_factory=list)
    starts: dict[UUID, int] = field(default_factory=dict)

    def take(self, step: Step) -> None:
        self.now += step.elapsed_ms
        if step.kind == "pour":
            self.pour(step)
        elif step.kind == "adjust":
            poured = self.now - step.poured_ago
            self.state = adjust(self.state, step.policy, step.tokens, self.now, poured)
            self.say(adjust_call(self.account, uuid4(), step.policy, step.tokens, poured_ms=poured))
        else:
            self.leave(step)

    def pour(self, step: Step) -> None:
        hold = uuid4()
        self.state, decision = pour(self.state, step.policy, step.tokens, self.now)
        if decision.start_in_ms:
            self.starts = {other: start for other, start in self.starts.items() if start > self.now}
            self.starts[hold] = self.now + decision.start_in_ms
        self.calls.append(pour_call(self.account, hold, step.policy, step.tokens).at(self.now))
        self.expected.append(decision)

    def leave(self, step: Step) -> None:
        hold = next(iter(self.starts), uuid4())
        self.starts.pop(hold, None)
        self.state = leave(self.state, step.policy, step.tokens, self.now, list(self.starts.values()))
        call = adjust_call(self.account, hold, step.policy, -step.tokens, poured_ms=0, before_start=True)
        self.say(call)

    def say(self, call: Any) -> None:
        self.calls.append(call.at(self.now))
        self.expected.append(self.state.level_micro)

    def compare(self, limiter: Limiter, seed: int) -> set[str]:
        """Every answer; returns which words there were."""
        words = set()
        for number, (answer, expected) in enumerate(zip(limiter.run_all(self.calls), self.expected, strict=True)):
            if isinstance(answer, Admitted):
                assert answer.decision == expected, (seed, number)
                words.add("waits" if answer.start_in_ms else "ok")
            elif isinstance(answer, Refusal):
                told = (answer.limit, answer.used, answer.available, answer.wait_ms)
                assert told == (expected.capacity, expected.level, expected.remaining, expected.wait_ms), (seed, number)
                assert answer.kind is (RefusalKind.FULL if expected.fits_ever else RefusalKind.NEVER)
                words.add("for ever" if answer.wait_ms == FOREVER_MS else answer.kind)
            else:
                assert answer == expected, (seed, number)
        return words


def test_the_library_and_the_arithmetic_agree_to_the_micro_token(limiter: Limiter) -> None:
    seen = set[str]()
    for seed in range(SEEDS):
        walked = Walked()
        for step in walk_of(Random(seed)):
            walked.take(step)
        seen |= walked.compare(limiter, seed)
    assert seen == {"ok", "waits", "for ever", "full", "never"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    capacity=st.integers(1, MAX_CAPACITY),
    leak=st.integers(1, MAX_LEAK),
    level=st.integers(0, 10**6),
    share=st.integers(1, 10**6),
)
def test_a_refusals_wait_is_exact(limiter: Limiter, capacity: int, leak: int, level: int, share: int) -> None:
    account, policy = uuid4(), Policy(Bucket(capacity, leak))
    overfull = capacity + capacity * level // 10**6
    limiter.run(adjust_call(account, account, policy, overfull, poured_ms=FUTURE).at(FUTURE))
    call = pour_call(account, account, policy, -(-capacity * share // 10**6))
    refusal = limiter.run(call.at(FUTURE))
    assert isinstance(refusal, Refusal)
    assert refusal.wait_ms > 0
    assert isinstance(limiter.run(call.at(FUTURE + refusal.wait_ms - 1)), Refusal)
    assert isinstance(limiter.run(call.at(FUTURE + refusal.wait_ms)), Admitted)


def test_a_bucket_expires_a_second_after_it_would_be_empty(limiter: Limiter) -> None:
    account, policy = uuid4(), Policy(Bucket(100, 1000))
    limiter.run(pour_call(account, account, policy, 30))
    assert 30_000 < pttl(limiter, account) <= 31_000
    limiter.run(adjust_call(account, account, policy, -30, poured_ms=0))
    assert 0 < pttl(limiter, account) <= 1000


def test_a_bucket_that_does_not_leak_does_not_expire(limiter: Limiter) -> None:
    account, policy = uuid4(), Policy(Bucket(100, 1000))
    limiter.run(pour_call(account, account, policy, 30))
    limiter.run(pour_call(account, account, Policy(Bucket(100, 0)), 30))
    assert pttl(limiter, account) == -1


def test_a_change_of_strategy_starts_anew(limiter: Limiter) -> None:
    account = uuid4()
    for strategy in Strategy:
        policy = Policy(Bucket(100, 1), strategy, window_ms=3_600_000)
        answer = limiter.run(pour_call(account, account, policy, 70))
        assert isinstance(answer, Admitted)
        assert answer.decision.remaining == 30


def test_the_time_is_valkeys(limiter: Limiter) -> None:
    account = uuid4()
    seconds, micros = ask(limiter, account, "TIME")
    answer = limiter.run(pour_call(account, account, Policy(Bucket(100, 1000)), 30))
    assert isinstance(answer, Admitted)
    earliest = int(seconds) * 1000 + int(micros) // 1000
    assert earliest <= answer.poured_ms <= earliest + 5000
    assert ask(limiter, account, "HGET", bucket_key(account), "at") == str(answer.poured_ms).encode()


def test_four_connections_pouring_at_once_are_admitted_exactly_what_leaks(limiter: Limiter) -> None:
    """On the real clock. What came in is what leaked out since plus what is still inside, to the micro-token."""
    account, policy, seconds = uuid4(), Policy(Bucket(200, 500_000)), 0.5
    first = limiter.run(pour_call(account, account, policy, 200))
    assert isinstance(first, Admitted)
    answers = asked_by_four(account, policy, seconds)
    level, at = (int(number) for number in ask(limiter, account, "HMGET", bucket_key(account), "level", "at"))
    admitted = sum(isinstance(answer, Admitted) for answer in answers)
    assert 0 < admitted < len(answers)
    assert level <= policy.bucket.capacity * MICRO
    assert (policy.bucket.capacity + admitted) * MICRO == level + policy.bucket.leak * (at - first.poured_ms)


def test_four_connections_that_are_shaped_start_no_faster_than_the_bucket_leaks(limiter: Limiter) -> None:
    account, policy = uuid4(), Policy(Bucket(200, 200_000), mode=Mode.SHAPE, max_wait_ms=300)
    full = limiter.run(pour_call(account, account, policy, 200))
    assert isinstance(full, Admitted)
    answers = [answer for answer in asked_by_four(account, policy, 0.5, tokens=10) if isinstance(answer, Admitted)]
    starts = sorted(answer.poured_ms + answer.start_in_ms for answer in answers)
    for number, start in enumerate(starts, 1):
        assert 10 * number * MICRO <= policy.bucket.leak * (start - full.poured_ms)
    assert 200 < max(answer.start_in_ms for answer in answers) <= 300, "there was more demand than the bucket leaks"


def asked_by_four(account: UUID, policy: Policy, seconds: float, tokens: int = 1) -> Sequence[Admitted | Refusal]:
    """What four clients hear that pour as fast as they can."""
    answers: list[Admitted | Refusal] = []
    barrier = threading.Barrier(4)

    def pour_until_over() -> None:
        with Limiter(os.environ["QUOTA_REDIS_URL"]) as client:
            barrier.wait()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                answers.append(client.run(pour_call(account, uuid4(), policy, tokens)))

    threads = [threading.Thread(target=pour_until_over) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_no_requests_are_counted_when_the_bucket_refuses(limiter: Limiter) -> None:
    account, policy = uuid4(), Policy(Bucket(100, 1), requests_per_minute=3)
    limiter.run(pour_call(account, account, policy, 100))
    for _ in range(5):
        refusal = limiter.run(pour_call(account, account, policy, 1))
        assert isinstance(refusal, Refusal)
        assert refusal.kind is RefusalKind.FULL
    answer = limiter.run(pour_call(account, account, replace(policy, bucket=Bucket(200, 1)), 1))
    assert isinstance(answer, Admitted)
    assert answer.requests is not None
    assert answer.requests.remaining == 1


def pttl(limiter: Limiter, account: UUID) -> int:
    milliseconds = ask(limiter, account, "PTTL", bucket_key(account))
    assert isinstance(milliseconds, int)
    return milliseconds


def ask(limiter: Limiter, account: UUID, *command: str) -> Any:
    return limiter.ask(shard_of(account), *command)


def test_the_library_is_loaded_where_it_is_missing(limiter: Limiter) -> None:
    with redis.Redis.from_url(os.environ["QUOTA_REDIS_URL"]) as server:
        server.function_flush()
    calls = [pour_call(uuid4(), uuid4(), Policy(Bucket(100, 1)), 1) for _ in range(3)]
    assert all(isinstance(answer, Admitted) for answer in limiter.run_all(calls))
