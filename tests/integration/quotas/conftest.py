"""What tests of leases share."""

import os
import time
from collections.abc import Iterator

import psycopg
import pytest

from tests.integration.quotas.purses import forget_journals
from workers.lease import lock_key

LOOPS = ("drain_0", "drain_1", "drain_2", "drain_3", "sweep_holds", "keep_leases", "expire_lots")
PATIENCE_SECONDS = 30


@pytest.fixture(scope="module")
def without_loops(django_db_setup: None) -> Iterator[None]:
    """Nobody else drains, sweeps or keeps leases: a system of the session's has a worker, whose loops stand aside.

    Their locks are held here. Who holds one loses its session, and asks again each second until the test is over.
    """
    options = "-c leaky.scope=all"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True, options=options) as session:
        for name in LOOPS:
            _take(session, lock_key(name))
        yield


@pytest.fixture(autouse=True)
def _empty_journals(request: pytest.FixtureRequest) -> None:
    """What earlier tests have left there is none of what a test drains, or waits for."""
    if "without_loops" in request.fixturenames:
        forget_journals()


def _take(session: psycopg.Connection, key: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while session.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone() != (True,):
        assert time.monotonic() < deadline
        session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks"
            " WHERE locktype = 'advisory' AND granted AND (classid::bigint << 32) | objid::bigint = %s",
            [key],
        )
        time.sleep(0.05)
