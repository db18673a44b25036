"""One loop in this process, on the real PostgreSQL: its rhythm, its failures, its figures."""

import os
import threading
from collections.abc import Callable, Iterator
from itertools import count

import pytest
import redis
from django.conf import LazySettings
from django.db import connection
from prometheus_client import REGISTRY

from leaky_tokens.local.ports import free_port
from tests.integration.workers.processes import until
from workers import heartbeat
from workers.heartbeat import Heartbeat
from workers.loop import Loop
from workers.watch import HeartbeatCollector, stale

pytestmark = pytest.mark.usefixtures("committed")

Run = Callable[[Loop], Loop]
numbers = count()


def sample(name: str, loop: Loop) -> float:
    return REGISTRY.get_sample_value(name, {"loop": loop.name}) or 0


def name() -> str:
    """A loop of each test's own: the lease is one for all who use the name."""
    return f"test-{os.getpid()}-{next(numbers)}"


@pytest.fixture
def run() -> Iterator[Run]:
    """Start a loop; all end with the test."""
    started: list[Loop] = []

    def run(loop: Loop) -> Loop:
        started.append(loop)
        loop.start("this-test")
        return loop

    yield run
    for loop in started:
        loop.stop_soon()
        assert loop.join()


def test_full_passes_follow_at_once_and_an_idle_one_waits(run: Run) -> None:
    todo = iter([10, 10, 10, 3])
    loop = run(Loop(name(), lambda: next(todo), full=10, idle_seconds=60))
    seconds = until(lambda: sample("leaky_loop_items_total", loop) == 33, 5, "four passes")
    assert seconds < 2
    assert sample("leaky_loop_pass_seconds_count", loop) == 4
    assert sample("leaky_loop_is_leader", loop) == 1
    assert sample("leaky_loop_last_success_timestamp_seconds", loop) > 0
    assert next(todo, "nothing left") == "nothing left"


def test_only_one_of_two_passes_and_the_other_follows_when_it_stops(run: Run) -> None:
    shared, first_ran, second_ran = name(), threading.Event(), threading.Event()

    def ran(event: threading.Event) -> Callable[[], int]:
        return lambda: event.set() or 0

    first = run(Loop(shared, ran(first_ran), full=1, idle_seconds=0.05))
    assert first_ran.wait(5)
    run(Loop(shared, ran(second_ran), full=1, idle_seconds=0.05))
    first_ran.clear()
    assert first_ran.wait(5)
    assert not second_ran.is_set()

    first.stop_soon()
    assert first.join()
    assert second_ran.wait(3)


def test_an_exception_is_counted_and_the_loop_goes_on_with_a_new_session(run: Run) -> None:
    sessions: list[int] = []

    def work() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            sessions.append(cursor.fetchone()[0])
            if len(sessions) < 3:
                cursor.execute("SELECT 1 / 0")
        return 7

    loop = run(Loop(name(), work, full=100, idle_seconds=60))
    until(lambda: sample("leaky_loop_items_total", loop) == 7, 5, "a pass after two failures")
    assert sample("leaky_loop_errors_total", loop) == 2
    assert sample("leaky_loop_pass_seconds_count", loop) == 3
    assert len(set(sessions)) == 3


def test_a_long_statement_is_cancelled_when_the_loop_must_stop() -> None:
    began = threading.Event()

    def work() -> int:
        began.set()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(4.5)")
        return 0

    loop = Loop(name(), work, full=1)
    loop.start("this-test")
    assert began.wait(5)
    loop.stop_soon()
    assert loop.join()
    assert sample("leaky_loop_errors_total", loop) == 1


def test_a_pass_of_many_short_statements_is_cancelled_too() -> None:
    began = threading.Event()

    def work() -> int:
        while True:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(0.01)")
            began.set()

    loop = Loop(name(), work, full=1)
    loop.start("this-test")
    assert began.wait(5)
    loop.stop_soon()
    assert loop.join()


def test_a_dead_cache_does_not_stop_the_passes(run: Run, settings: LazySettings) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    loop = run(Loop(name(), lambda: 1, full=10, idle_seconds=0.01))
    until(lambda: sample("leaky_loop_items_total", loop) >= 50, 5, "50 passes")
    assert sample("leaky_loop_heartbeat_failures_total", loop) == 1, "a dead cache is asked again only after a while"
    assert sample("leaky_loop_errors_total", loop) == 0


def test_a_pass_makes_the_heartbeat_fresh_and_a_stop_removes_it(run: Run) -> None:
    loop = run(Loop(name(), lambda: 0, full=1, idle_seconds=0.05))
    key = heartbeat.key_of(loop.name)
    with heartbeat.connect(os.environ["REDIS_URL"]) as cache:
        until(lambda: heartbeat.is_fresh(cache, key), 5, "heartbeat")
        assert 0 < int(str(cache.ttl(key))) <= heartbeat.FRESH_SECONDS
        loop.stop_soon()
        assert loop.join()
        assert not heartbeat.is_fresh(cache, key)


def test_a_loop_without_a_sign_of_life_is_stale_until_it_gives_one() -> None:
    silent = name()
    collector = HeartbeatCollector(loops=[silent])
    assert stale([heartbeat.key_of(silent)]) == [heartbeat.key_of(silent)]
    assert [s.value for s in next(iter(collector.collect())).samples] == [1]

    sign = Heartbeat(os.environ["REDIS_URL"], silent, "this-test")
    sign.write()
    assert stale([heartbeat.key_of(silent)]) == []
    assert [s.value for s in next(iter(collector.collect())).samples] == [0]
    sign.remove()


def test_nobody_knows_what_is_stale_while_the_cache_is_away(settings: LazySettings) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    with pytest.raises(redis.ConnectionError):
        stale(["loop:any"])
    assert [family.samples for family in HeartbeatCollector(loops=["any"]).collect()] == [[], []]
