"""``leaky_bucket.lua`` on the real Valkey, held against its twin and against the clock."""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import uuid4

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.core.units import MICRO
from apps.limiter.api import Bucket, Call, Decision, adjust_call, bucket_key, pour_call
from apps.limiter.domain import MAX_CAPACITY, MAX_LEAK, State, adjust, pour_all

T = TypeVar("T")
NOW = 1_800_000_000_000
EXAMPLES, STEPS = 200, 60


@pytest.fixture(scope="module")
def valkey() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(os.environ["QUOTA_REDIS_URL"]) as client:
        yield client


def run(client: redis.Redis, call: Call[T]) -> T:
    return call.decode(client.eval(call.script.text, len(call.keys), *call.keys, *call.args))


@dataclass(frozen=True)
class Step:
    """One call: who is asked (a bit per bucket), under which limits, and how far the clock moved since the last."""

    pours: bool
    asked: int
    limits: tuple[Bucket, Bucket, Bucket]
    tokens: int
    elapsed_ms: int

    def chosen(self) -> list[int]:
        return [index for index in range(3) if self.asked & 1 << index]


@st.composite
def walks(draw: st.DrawFn) -> list[Step]:
    """Steps around one scale, so that buckets fill and drain; the limits change now and then, as tiers do."""
    capacity = draw(st.sampled_from([5, 1000, 100_000, MAX_CAPACITY]))
    leak = draw(st.sampled_from([1, 7, 10_000, 1_000_000, MAX_LEAK]))
    bucket = st.builds(
        Bucket,
        capacity=st.integers(capacity * 3 // 4, capacity),
        leak=st.integers(max(1, leak // 2), leak),
    )
    limits = draw(st.lists(st.tuples(bucket, bucket, bucket), min_size=2, max_size=2))
    span = max(2, min(10**11, 2 * capacity * MICRO // leak))
    rows = st.tuples(
        st.integers(0, 3),
        st.integers(1, 7),
        st.integers(0, 9),
        st.integers(0, capacity * 5 // 4) | st.integers(0, capacity // 4),
        st.integers(-span // 4, span) | st.integers(-1, 3),
    )
    return [
        Step(kind > 0, asked, limits[era > 7], tokens if kind > 0 else tokens - capacity // 2, elapsed)
        for kind, asked, era, tokens, elapsed in draw(st.lists(rows, min_size=STEPS, max_size=STEPS))
    ]


def test_the_script_and_its_twin_agree_to_the_micro_token(valkey: redis.Redis) -> None:
    total = 0
    seen: set[tuple[bool, bool]] = set()

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(walks())
    def hold(walk: list[Step]) -> None:
        nonlocal total
        total += len(walk)
        decisions = compare(valkey, walk)
        seen.update((decision.allowed, decision.fits_ever) for decision in decisions)

    hold()
    assert total >= 10_000
    assert seen == {(True, True), (False, True), (False, False)}


def compare(valkey: redis.Redis, walk: Sequence[Step]) -> list[Decision]:
    """Walk through the script in one pipeline and through the twin, and compare every answer and every level stored."""
    keys = [f"{{q00}}:walk:{uuid4()}" for _ in range(3)]
    pipeline, expected, decode, decisions = valkey.pipeline(transaction=False), [], [], []
    states, now = [State()] * 3, NOW
    for step in walk:
        now += step.elapsed_ms
        chosen = step.chosen()
        buckets = [step.limits[index] for index in chosen]
        held = [states[index] for index in chosen]
        asked = {keys[index]: step.limits[index] for index in chosen}
        call: Call[Decision] | Call[list[int]]
        if step.pours:
            call = pour_call(asked, step.tokens, now_ms=now)
            after, decision = pour_all(held, buckets, step.tokens, now)
            expected.append(decision)
            decisions.append(decision)
        else:
            call = adjust_call(asked, step.tokens, now_ms=now)
            after = [adjust(state, bucket, step.tokens, now) for state, bucket in zip(held, buckets, strict=True)]
            expected.append([state.level_micro for state in after])
        for index, state in zip(chosen, after, strict=True):
            states[index] = state
        decode.append(call.decode)
        pipeline.eval(call.script.text, len(call.keys), *call.keys, *call.args)
    for key in keys:
        pipeline.hmget(key, "level", "at")
    replies = pipeline.execute()
    assert [read(reply) for read, reply in zip(decode, replies[: len(walk)], strict=True)] == expected
    stored = [State(int(level or 0), int(at or 0)) for level, at in replies[len(walk) :]]
    assert stored == states
    return decisions


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    capacity=st.integers(1, MAX_CAPACITY),
    leak=st.integers(1, MAX_LEAK),
    level=st.integers(0, 10**6),
    share=st.integers(1, 10**6),
)
def test_a_refusals_wait_is_exact(valkey: redis.Redis, capacity: int, leak: int, level: int, share: int) -> None:
    key, bucket = f"{{q00}}:wait:{uuid4()}", Bucket(capacity, leak)
    tokens = -(-capacity * share // 10**6)
    run(valkey, adjust_call({key: bucket}, capacity + capacity * level // 10**6, now_ms=NOW))
    refusal = run(valkey, pour_call({key: bucket}, tokens, now_ms=NOW))
    assert (refusal.allowed, refusal.wait_ms > 0) == (False, True)
    assert not run(valkey, pour_call({key: bucket}, tokens, now_ms=NOW + refusal.wait_ms - 1)).allowed
    assert run(valkey, pour_call({key: bucket}, tokens, now_ms=NOW + refusal.wait_ms)).allowed


def test_a_refused_pour_writes_nothing(valkey: redis.Redis) -> None:
    keys, bucket = [f"{{q00}}:none:{uuid4()}" for _ in range(2)], Bucket(10, 1)
    run(valkey, pour_call({keys[0]: bucket}, 10, now_ms=NOW))
    before = valkey.hgetall(keys[0])
    refusal = run(valkey, pour_call({keys[1]: bucket, keys[0]: bucket}, 1, now_ms=NOW + 5))
    assert not refusal.allowed
    assert (valkey.hgetall(keys[0]), valkey.exists(keys[1])) == (before, 0)


def test_a_key_expires_a_second_after_it_would_be_empty(valkey: redis.Redis) -> None:
    key = bucket_key(uuid4())
    run(valkey, pour_call({key: Bucket(100, 1000)}, 30))
    assert 30_000 < valkey.pttl(key) <= 31_000
    run(valkey, adjust_call({key: Bucket(100, 1000)}, -30))
    assert 0 < valkey.pttl(key) <= 1000


def test_the_time_is_valkeys(valkey: redis.Redis) -> None:
    key = bucket_key(uuid4())
    seconds, micros = valkey.time()
    run(valkey, pour_call({key: Bucket(100, 1000)}, 30))
    earliest = seconds * 1000 + micros // 1000
    assert earliest <= int(valkey.hget(key, "at")) <= earliest + 5000


def test_four_connections_pouring_at_once_are_admitted_exactly_what_leaks(valkey: redis.Redis) -> None:
    """On the real clock. What came in is what leaked out since plus what is still inside, to the micro-token."""
    key, bucket, seconds = bucket_key(uuid4()), Bucket(200, 500_000), 0.5
    run(valkey, pour_call({key: bucket}, bucket.capacity))
    filled_at = int(valkey.hget(key, "at"))
    admitted: list[int] = []
    barrier = threading.Barrier(4)

    def pour_until_over() -> None:
        with redis.Redis.from_url(os.environ["QUOTA_REDIS_URL"]) as client:
            barrier.wait()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                admitted.append(run(client, pour_call({key: bucket}, 1)).allowed)

    threads = [threading.Thread(target=pour_until_over) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    level, at = (int(number) for number in valkey.hmget(key, "level", "at"))
    assert 0 < sum(admitted) < len(admitted)
    assert level <= bucket.capacity * MICRO
    assert (bucket.capacity + sum(admitted)) * MICRO == level + bucket.leak * (at - filled_at)
