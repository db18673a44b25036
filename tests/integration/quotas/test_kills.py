"""A process that dies in the middle of an operation leaves nothing half done.

The process is a real one. It is stopped before a chosen statement by a lock of the owner's that the statement waits
for, killed with SIGKILL while it waits, and then the lock is let go.
"""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

import psycopg
import pytest
from django.db import connection

from apps.core.errors import StoreUnavailable
from apps.outbox.models import OutboxEvent
from apps.quotas.api import Hold, balance, check_identities, expire_holds, renew, settle
from apps.quotas.api import reserve as reserve_here
from apps.quotas.models import Hold as HoldRow
from tests.integration.quotas.payers import (
    MINUTE_MS,
    OVERDUE_MS,
    entries,
    funded_account,
    hold_of,
    make_overdue,
    settlement_of,
)

pytestmark = pytest.mark.usefixtures("committed")

PATIENCE_SECONDS = 20

SETTLE = """
from apps.core.units import Usage
from apps.quotas.api import Settlement, settle
usage = Usage(input=20, cached_input=4, output=16, reasoning=2)
settle(Settlement(UUID("{hold}"), UUID("{account}"), 20, usage, "completed", "provider", 200, 812, 230))
"""
EXPIRE = """
from apps.quotas.api import expire_holds
expire_holds(limit=1000)
"""

BEFORE = {
    "the first transfer": "LOCK TABLE quotas_transfer IN SHARE MODE",
    "the hold is marked": "LOCK TABLE quotas_hold IN EXCLUSIVE MODE",
    "the event": "LOCK TABLE outbox_event IN SHARE MODE",
}


@pytest.mark.parametrize("before", list(BEFORE))
@pytest.mark.parametrize("operation", [SETTLE, EXPIRE], ids=["settle", "expire"])
def test_a_process_killed_between_statements_has_done_nothing(operation: str, before: str) -> None:
    account = funded_account(100)
    hold = hold_of(account, 30)
    reserve_here(hold, ttl_ms=MINUTE_MS)
    renew([(account, hold.id, 12)], ttl_ms=MINUTE_MS)
    if operation is EXPIRE:
        make_overdue(hold)

    with _blocked(BEFORE[before]) as owner:
        _killed_while_waiting(owner, operation.format(hold=hold.id, account=account))

    _until_free(account)
    assert HoldRow.objects.get(id=hold.id).status == "HELD"
    assert entries(account) == [("GRANT", 100), ("HOLD", 30)]
    assert not OutboxEvent.objects.filter(id=hold.id).exists()
    assert check_identities(account) == []

    _the_next_one_finishes(hold, operation)
    assert (balance(account).spent, balance(account).held) == (20, 0)
    assert check_identities(account) == []


def test_a_reservation_killed_before_its_transfer_holds_nothing() -> None:
    account = funded_account(100)
    script = """
    from tests.integration.quotas.payers import hold_of
    from apps.quotas.api import reserve
    reserve(hold_of(UUID("{account}"), 30), ttl_ms=60000)
    """

    with _blocked(BEFORE["the first transfer"]) as owner:
        _killed_while_waiting(owner, textwrap.dedent(script).format(account=account))

    _until_free(account)
    assert (balance(account).available, balance(account).held) == (100, 0)
    assert not HoldRow.objects.filter(account_id=account).exists()


def test_a_connection_that_is_lost_is_told_and_replaced() -> None:
    account = funded_account(100)
    hold = hold_of(account, 30)
    reserve_here(hold, ttl_ms=MINUTE_MS)

    with _blocked(BEFORE["the event"]) as owner, ThreadPoolExecutor(1) as pool:
        lost = pool.submit(settle, settlement_of(hold, 20))
        _wait(lambda: _waits_for(owner), lambda: not lost.done())
        _terminate_backends_that_wait_for(owner)
        assert isinstance(lost.exception(), StoreUnavailable)
        owner.rollback()
        again = pool.submit(settle, settlement_of(hold, 20)).result()
        pool.submit(lambda: connection.close()).result()  # noqa: PLW0108 (the connection is that of the thread)

    assert (again.charged, again.first) == (20, True)
    assert check_identities(account) == []


def _terminate_backends_that_wait_for(owner: psycopg.Connection) -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as application:
        application.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted AND %s = ANY(pg_blocking_pids(pid))",
            [owner.info.backend_pid],
        )


def _the_next_one_finishes(hold: Hold, operation: str) -> None:
    if operation is EXPIRE:
        renew([(hold.account, hold.id, 12)], ttl_ms=OVERDUE_MS)
        expire_holds(limit=1000)
    settle(settlement_of(hold, 20))


@contextmanager
def _blocked(lock: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(os.environ["TEST_DATABASE_OWNER_URL"]) as owner:
        owner.execute(lock)
        yield owner
        owner.rollback()


def _killed_while_waiting(owner: psycopg.Connection, script: str) -> None:
    """Run the script in a process of its own until the database says that it waits for the lock; kill it there."""
    prelude = "import django; from uuid import UUID; django.setup()\n"
    process = subprocess.Popen([sys.executable, "-c", prelude + script])
    try:
        _wait(lambda: _waits_for(owner), lambda: process.poll() is None)
    finally:
        process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def _waits_for(owner: psycopg.Connection) -> bool:
    waiting = owner.execute(
        "SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    )
    return waiting.fetchone() is not None


def _until_free(account: UUID) -> None:
    """Until the killed process's transaction has been rolled back: its lock on the account is gone."""
    with psycopg.connect(os.environ["DATABASE_URL"], options="-c leaky.scope=all") as connection:
        connection.execute("SELECT FROM quotas_account WHERE id = %s FOR UPDATE", [account])


def _wait(is_true: Callable[[], bool], still_sensible: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_true():
        assert still_sensible(), "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
