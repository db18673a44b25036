"""Fixtures: the probe's table, worker processes that end with the test, and a cache instance of the test's own."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from leaky_tokens.local.ports import free_port
from leaky_tokens.local.valkey import CACHE, Valkey
from tests.integration.workers.processes import PLAIN, PROBE, Process, Start, celery, until


@pytest.fixture
def database(django_db_setup: None) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The owner's connection, with the empty table that the probe loop writes."""
    with psycopg.connect(os.environ["TEST_DATABASE_OWNER_URL"], autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS probe_pass")
        connection.execute(
            "CREATE TABLE probe_pass (id bigserial PRIMARY KEY, pid int NOT NULL,"
            " began timestamptz NOT NULL DEFAULT clock_timestamp(), ended timestamptz)"
        )
        connection.execute("GRANT ALL ON probe_pass TO leaky_app")
        connection.execute("GRANT ALL ON SEQUENCE probe_pass_id_seq TO leaky_app")
        yield connection
        connection.execute("DROP TABLE probe_pass")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start worker or beat; each is killed when the test ends, if it has not ended before."""
    started: list[Process] = []

    def start(*arguments: str, app: str = PROBE, **environment: str) -> Process:
        log = tmp_path / f"{len(started)}.log"
        started.append(celery(*arguments, app=app, log=log, environment=environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def worker(start: Start) -> Start:
    """Start a worker whose loops are the probe's."""

    def worker(app: str = PROBE, **environment: str) -> Process:
        return start("worker", *PLAIN, app=app, **environment)

    return worker


class Broker:
    """A Valkey that a test may stop and start again."""

    def __init__(self, valkey: Valkey) -> None:
        self.valkey = valkey
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(self.valkey.command(), stdout=subprocess.DEVNULL)
        until(self.valkey.is_ready, 10, "broker answers")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=10)
            self.process = None


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Not started yet."""
    broker = Broker(Valkey(tmp_path / "broker", free_port(), "broker-of-a-test", CACHE))
    yield broker
    broker.stop()


Passes = Callable[[], int]


@pytest.fixture
def passes(database: psycopg.Connection[tuple[object, ...]]) -> Passes:
    """How many passes have ended."""

    def passes() -> int:
        row = database.execute("SELECT count(*) FROM probe_pass WHERE ended IS NOT NULL").fetchone()
        return int(str(row[0])) if row else 0

    return passes
