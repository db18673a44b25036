"""The servers of the test session: a real PostgreSQL and two real Valkeys, started once in a directory of their own.

They start when pytest starts, before Django reads its settings. With ``TEST_DATABASE_OWNER_URL`` and the like in the
environment, servers of the user's own are used instead. Nothing is skipped where a server is missing: the run fails.
"""

import atexit
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from leaky_tokens.local.ports import free_port
from leaky_tokens.local.postgres import Postgres
from leaky_tokens.local.valkey import CACHE, QUOTA, Valkey

START_SECONDS = 20


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start the stores and tell Django's settings where they are.

    With several test processes each has stores of its own, and the one that only hands out the work has none.
    """
    hands_out_work = getattr(early_config.known_args_namespace, "numprocesses", None) and not _is_worker()
    if "TEST_DATABASE_OWNER_URL" in os.environ or hands_out_work:
        return
    root = Path(tempfile.mkdtemp(prefix="leaky-tests-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    postgres = Postgres(root / "postgres", free_port(), *(secrets.token_hex(8) for _ in range(3)))
    postgres.initialise()
    _start(postgres.command(), root / "postgres.log", signal.SIGINT, postgres.is_ready)
    postgres.create_roles()
    quota = Valkey(root / "quota", free_port(), secrets.token_hex(8), QUOTA)
    cache = Valkey(root / "cache", free_port(), secrets.token_hex(8), CACHE)
    for store in (quota, cache):
        _start(store.command(), root / f"{store.data.name}.log", signal.SIGTERM, store.is_ready)
    os.environ.update(
        TEST_DATABASE_OWNER_URL=postgres.owner_url(),
        TEST_DATABASE_APP_URL=postgres.app_url(),
        DATABASE_URL=postgres.app_url(),
        QUOTA_REDIS_URL=quota.url(),
        REDIS_URL=cache.url(),
    )


def _is_worker() -> bool:
    return "PYTEST_XDIST_WORKER" in os.environ


def _start(command: list[str], log: Path, stop_signal: signal.Signals, is_ready: Callable[[], bool]) -> None:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    atexit.register(_stop, process, stop_signal)
    deadline = time.monotonic() + START_SECONDS
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{command[0]} did not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.01)


def _stop(process: subprocess.Popen[bytes], stop_signal: signal.Signals) -> None:
    process.send_signal(stop_signal)
    process.wait(timeout=10)
