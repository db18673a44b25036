"""PostgreSQL under root, where user name spaces are forbidden and `nobody` has to run it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from leaky_tokens.local.errors import RunFailed
from leaky_tokens.local.ordinary_user import NOBODY, OrdinaryUser, nobody, ordinary_user
from leaky_tokens.local.place import ROOT
from leaky_tokens.local.ports import free_port
from leaky_tokens.local.postgres import Postgres


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory that everybody can reach, as pytest's own are not."""
    directory = Path(tempfile.mkdtemp(dir="/var/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def user_without_namespaces(reachable: Path) -> OrdinaryUser:
    """Ourselves, when we are no root: then there is only one way."""
    return nobody(reachable) if os.geteuid() == 0 else ordinary_user()


def wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "still there"
        time.sleep(0.02)


def test_the_server_runs_without_name_spaces_and_dies_with_its_parent(tmp_path: Path, reachable: Path) -> None:
    user = user_without_namespaces(reachable)
    postgres = Postgres(tmp_path / "postgres", free_port(), "s", "o", "a", user)
    postgres.initialise()
    postgres.initialise()

    # A parent of its own, which is then killed: what a supervisor's `kill -9` does.
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    # Our guard binds a server to the process that made the command; here the parent is another one.
    command = postgres.guarded_command() if user.reachable else postgres.command()
    with subprocess.Popen(
        [sys.executable, "-c", code, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        deadline = time.monotonic() + 10
        while not postgres.is_ready():
            assert time.monotonic() < deadline, "not ready"
            time.sleep(0.02)
        postgres.create_roles()
        with psycopg.connect(postgres.app_url()) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("leaky_app",)
        assert psutil.Process(pid).uids().real == (NOBODY if os.geteuid() == 0 else os.geteuid())
        parent.kill()
    if not user.reachable:
        os.kill(pid, signal.SIGINT)
    wait_for_end(pid)


def test_root_is_mapped_to_a_user_that_has_a_name() -> None:
    """PostgreSQL looks its user up; the ids of ordinary users are not taken on every machine, that of `nobody` is."""
    user = ordinary_user()
    assert bool(user.prefix) == (os.geteuid() == 0)
    name = subprocess.run([*user.prefix, "id", "-un"], check=True, capture_output=True, text=True).stdout.strip()
    assert name not in {"", "root"}


def test_a_cluster_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    postgres = Postgres(tmp_path / "postgres", free_port(), "", "o", "a")
    with pytest.raises(RunFailed, match=r"PostgreSQL cannot make its files: initdb: error: password file .* is empty"):
        postgres.initialise()
    assert not postgres.data.exists()
