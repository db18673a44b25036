"""Worker processes as they are run, with what befalls them: killed, stopped, cut off from the broker."""

import logging
import os
import signal
from pathlib import Path

import httpx
import psycopg
import redis
from celery import Celery

from leaky_tokens.local.ports import free_port
from tests.integration.workers.conftest import Broker, Passes
from tests.integration.workers.processes import Start, until
from workers import heartbeat
from workers.ready import is_ready
from workers.routes import WATCH_QUEUE

logger = logging.getLogger(__name__)

Database = psycopg.Connection[tuple[object, ...]]


def holder(database: Database) -> int | None:
    row = database.execute("SELECT pid FROM probe_pass ORDER BY id DESC LIMIT 1").fetchone()
    return int(str(row[0])) if row else None


def overlaps(database: Database) -> int:
    """Pairs of passes that ran at the same time. A killed pass has no end; it counts up to its beginning."""
    row = database.execute(
        "SELECT count(*) FROM probe_pass a JOIN probe_pass b ON a.id < b.id"
        " AND tstzrange(a.began, coalesce(a.ended, a.began), '[]')"
        " && tstzrange(b.began, coalesce(b.ended, b.began), '[]')"
    ).fetchone()
    return int(str(row[0])) if row else -1


def attempts() -> list[object]:
    """When each session of the loop last asked for the lease. Only a worker that does not hold it asks again."""
    with psycopg.connect(os.environ["TEST_DATABASE_APP_URL"], autocommit=True) as as_application:
        rows = as_application.execute(
            "SELECT query_start FROM pg_stat_activity WHERE application_name = 'loop:probe'"
            " AND query LIKE '%pg_try_advisory_lock%' AND state = 'idle'"
        ).fetchall()
    return [row[0] for row in rows]


def test_two_workers_never_pass_at_once_and_one_takes_over_when_the_other_is_killed(
    database: Database, worker: Start, passes: Passes
) -> None:
    workers = {process.pid: process for process in (worker(), worker())}
    until(lambda: passes() >= 50, 20, "50 passes")
    killed = holder(database)
    assert killed is not None
    other = next(pid for pid in workers if pid != killed)
    until(lambda: "loops started" in workers[other].text(), 10, "the other worker has started too")

    workers[killed].kill()
    seconds = until(lambda: holder(database) == other, 10, "takeover")
    until(lambda: passes() >= 100, 20, "50 more passes")

    logger.info("takeover: %.2f s", seconds)
    assert seconds <= 3
    assert overlaps(database) == 0


def test_a_frozen_holder_keeps_its_lease_and_nobody_passes_beside_it(
    database: Database, worker: Start, passes: Passes
) -> None:
    workers = {process.pid: process for process in (worker(), worker())}
    until(lambda: all("loops started" in process.text() for process in workers.values()), 20, "both run")
    until(lambda: passes() >= 20, 20, "20 passes")
    frozen = workers[holder(database) or 0]
    frozen.popen.send_signal(signal.SIGSTOP)
    asked: set[object] = set()
    until(lambda: asked.update(attempts()) or len(asked) >= 4, 15, "the other asks for the lease, in vain")
    frozen.popen.send_signal(signal.SIGCONT)
    before = passes()
    until(lambda: passes() >= before + 20, 20, "20 more passes")
    assert holder(database) == frozen.pid
    assert overlaps(database) == 0


def test_term_stops_a_worker_and_gives_the_lease_back(database: Database, worker: Start, passes: Passes) -> None:
    process = worker()
    until(lambda: passes() >= 5, 20, "5 passes")
    seconds = process.terminate()
    logger.info("term: %.2f s", seconds)
    assert seconds <= 5
    assert process.popen.returncode == 0
    locks = database.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone()
    assert locks == (0,)
    with heartbeat.connect(os.environ["REDIS_URL"]) as cache:
        assert not heartbeat.is_fresh(cache, "loop:probe")


def test_term_interrupts_a_pass_that_does_not_end(database: Database, worker: Start) -> None:
    process = worker(PROBE_SECONDS="4.5")
    until(lambda: holder(database) is not None, 20, "a pass begins")
    seconds = process.terminate()
    logger.info("term in a pass: %.2f s", seconds)
    assert seconds <= 3
    assert database.execute("SELECT count(*) FROM probe_pass WHERE ended IS NOT NULL").fetchone() == (0,)


def test_loops_run_when_the_broker_is_away_from_the_start(worker: Start, passes: Passes, broker: Broker) -> None:
    process = worker(REDIS_URL=broker.valkey.url())
    until(lambda: passes() >= 50, 20, "50 passes without a broker")
    assert "Cannot connect to redis" in process.text()

    broker.start()
    with heartbeat.connect(broker.valkey.url()) as cache:
        seconds = until(lambda: heartbeat.is_fresh(cache, "loop:probe"), 15, "heartbeat once the broker is there")
    logger.info("heartbeat after broker: %.2f s", seconds)
    assert process.terminate() <= 5


def test_loops_run_on_when_the_broker_stops_and_term_still_ends_the_worker(
    worker: Start, passes: Passes, broker: Broker
) -> None:
    broker.start()
    process = worker(REDIS_URL=broker.valkey.url())
    until(lambda: passes() >= 10, 20, "10 passes")
    until(lambda: "ready." in process.text(), 10, "the worker consumes")

    broker.stop()
    before = passes()
    until(lambda: passes() >= before + 50, 20, "50 passes without the broker")
    seconds = process.terminate()
    logger.info("term without broker: %.2f s", seconds)
    assert seconds <= 5


def test_a_lost_session_is_replaced(database: Database, worker: Start, passes: Passes) -> None:
    process = worker()
    until(lambda: passes() >= 10, 20, "10 passes")
    with psycopg.connect(os.environ["TEST_DATABASE_APP_URL"], autocommit=True) as application:
        application.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'loop:probe'"
        )
    before = passes()
    seconds = until(lambda: passes() >= before + 10, 10, "10 passes on a new session")
    logger.info("passes after lost session: %.2f s", seconds)
    assert "loop failed" in process.text()
    assert overlaps(database) == 0


def test_the_watchdog_names_a_loop_that_nobody_runs(worker: Start, broker: Broker) -> None:
    """The probe's table is missing, so every pass fails and none gives a sign of life."""
    broker.start()
    process = worker(REDIS_URL=broker.valkey.url())
    until(lambda: "loop failed" in process.text(), 20, "a pass fails")
    with Celery(broker=broker.valkey.url()) as sender:
        sender.send_task("workers.tasks.watch.check_loops", queue=WATCH_QUEUE)
    until(lambda: '"event": "loop is stale"' in process.text(), 10, "the watchdog names it")
    assert process.terminate() <= 5


def test_metrics_of_a_worker_are_exposed(worker: Start, passes: Passes) -> None:
    port = free_port()
    worker(WORKER_METRICS_PORT=str(port))
    until(lambda: passes() >= 5, 20, "5 passes")
    page = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    assert 'leaky_loop_is_leader{loop="probe"} 1.0' in page
    assert 'leaky_loop_pass_seconds_count{loop="probe"}' in page
    assert 'leaky_loop_stale{loop="probe"} 0.0' in page
    assert "leaky_beat_stale" in page


def test_beat_sends_and_the_worker_answers_for_it(
    database: Database, worker: Start, start: Start, broker: Broker, tmp_path: Path
) -> None:
    broker.start()
    environment = {"REDIS_URL": broker.valkey.url()}
    process = worker(**environment)
    assert not is_ready(broker.valkey.url(), "beat")
    beat = start("beat", "--schedule", f"{tmp_path}/schedule", **environment)
    with redis.Redis.from_url(broker.valkey.url()) as cache:
        seconds = until(lambda: is_ready(broker.valkey.url(), "beat"), 20, "beat's heartbeat")
        logger.info("beat ready: %.2f s", seconds)
        first = cache.get(heartbeat.BEAT)
        until(lambda: cache.get(heartbeat.BEAT) != first, 15, "the next heartbeat")
        until(lambda: "loop is stale" not in process.text() and cache.exists("loop:probe"), 1, "the loop is fresh")
    assert beat.terminate() <= 5
    assert process.terminate() <= 5
