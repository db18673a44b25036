"""The supervisor with real stores and tiny programs: what it leaves, however it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from leaky_tokens.local import lock
from leaky_tokens.local.errors import RunFailed
from leaky_tokens.local.place import ROOT, Place
from leaky_tokens.local.system import System

PATIENCE = 20.0
LEFT_SECONDS = 2.0
"""In which a process that was killed is gone on a busy machine."""


class TinyRun:
    """One run of :mod:`tests.integration.local.tiny`."""

    def __init__(self, root: Path, *names: str) -> None:
        self.place = Place(root)
        self.system = System(root, os.environ)
        self.output = root.with_name("output")
        command = [sys.executable, "-m", "tests.integration.local.tiny", str(root), *names]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)

    def until(self, status: str) -> dict[str, Any]:
        """Its facts, once it has reached ``status``."""
        wait_for(lambda: self.system.facts.get("status") == status)
        return self.system.facts

    def wait(self) -> tuple[int, str]:
        """Exit code and output, after its end."""
        return self.process.wait(PATIENCE), self.output.read_text()

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """As :meth:`wait`, after sending it a signal."""
        self.process.send_signal(number)
        return self.wait()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., TinyRun]]:
    runs: list[TinyRun] = []

    def begin(*names: str) -> TinyRun:
        runs.append(TinyRun(tmp_path / "place", *names))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.end(signal.SIGTERM)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_everything_within_five_seconds(start: Callable[..., TinyRun], number: signal.Signals) -> None:
    run = start("steady", "stubborn")
    facts = run.until("ready")
    pids = [*facts["processes"].values(), int(run.place.file("child").read_text())]
    assert sorted(facts["processes"]) == ["cache", "postgresql", "quota", "steady", "stubborn"]

    started = time.monotonic()
    code, output = run.end(number)

    assert time.monotonic() - started < 5
    assert (code, alive(pids)) == (0, [])
    assert f"stopped ({number.name})" in output
    assert run.place.file("stopped").read_text() == "steady\n"
    assert not run.place.file("run.json").exists()


def test_the_stores_outlive_the_processes(start: Callable[..., TinyRun]) -> None:
    run = start("stubborn")
    pids = run.until("ready")["processes"]
    stores = [pids["postgresql"], pids["quota"]]
    run.process.send_signal(signal.SIGTERM)

    def stubborn_has_ended() -> bool:
        # The stores are looked at first: while the process is alive afterwards, they must have been.
        kept, going_on = alive(stores), alive([pids["stubborn"]])
        assert sorted(kept) == sorted(stores) or not going_on
        return not going_on

    wait_for(stubborn_has_ended)


def test_kill_nine_of_the_supervisor_leaves_nothing(start: Callable[..., TinyRun]) -> None:
    run = start("steady")
    pids = list(run.until("ready")["processes"].values())

    run.end(signal.SIGKILL)

    started = time.monotonic()
    wait_for(lambda: not alive(pids))
    assert time.monotonic() - started < 2
    assert run.place.file("run.json").exists()
    assert run.system.facts == {}


def test_a_run_right_after_kill_nine_starts(start: Callable[..., TinyRun]) -> None:
    first = start("steady")
    before = first.until("ready")
    first.end(signal.SIGKILL)
    after = start("steady").until("ready")
    assert after["stores"] == before["stores"]
    assert not set(after["processes"].values()) & set(before["processes"].values())


def test_a_crashed_process_is_shown_and_started_again(start: Callable[..., TinyRun]) -> None:
    run = start("steady")
    first = run.until("ready")["processes"]["steady"]
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: run.system.facts["processes"].get("steady", first) != first)
    second = run.until("ready")["processes"]["steady"]

    _, output = run.end(signal.SIGTERM)

    assert second != first
    assert "steady ended: killed by SIGKILL; the end of its log:\n          steady says hello\n" in output
    assert "steady starts again in 0.05 s" in output


def test_a_crashed_store_is_started_again_on_its_data(start: Callable[..., TinyRun]) -> None:
    run = start("steady")
    facts = run.until("ready")
    first = facts["processes"]["postgresql"]
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: run.system.facts["processes"].get("postgresql", first) != first)
    assert run.until("ready")["stores"] == facts["stores"]
    with pytest.raises(psycopg.OperationalError, match=r"database .* does not exist|password authentication failed"):
        psycopg.connect(facts["stores"]["postgresql"])


def test_a_crash_before_readiness_ends_the_run(start: Callable[..., TinyRun]) -> None:
    run = start("steady", "broken")
    code, output = run.wait()
    assert code == 1
    assert "broken ended before it was ready (exit code 1). The end of its log:" in output
    assert "  broken cannot read its configuration" in output
    assert lock.take_within(run.place, lock.CHILDREN, LEFT_SECONDS) is not None, "a process was left"


def test_five_crashes_within_a_minute_end_the_run(start: Callable[..., TinyRun]) -> None:
    run = start("short-lived")
    code, output = run.wait()
    assert code == 1
    assert output.count("short-lived starts again") == 4
    assert "short-lived crashed 5 times within a minute (exit code 1)" in output
    assert lock.take_within(run.place, lock.CHILDREN, LEFT_SECONDS) is not None, "a process was left"


def command(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "leaky_tokens.local", *arguments], cwd=ROOT, capture_output=True, text=True,
        check=False, env=os.environ | {"LEAKY_LOCAL": str(root)},
    )  # fmt: skip


def test_a_second_run_points_at_the_first(start: Callable[..., TinyRun]) -> None:
    run = start("steady")
    facts = run.until("ready")
    for arguments in (["run"], ["run", "--detach"]):
        second = command(run.place.root, *arguments)
        assert second.returncode == 0
        assert "a system runs here already" in second.stdout
        assert facts["gateway_url"] in second.stdout
    assert run.system.facts == facts


def test_status_and_stop(start: Callable[..., TinyRun]) -> None:
    run = start("steady")
    run.until("ready")
    assert command(run.place.root, "status").returncode == 0
    assert command(run.place.root, "stop").stdout == "stopped\n"
    assert run.process.wait(PATIENCE) == 0
    assert command(run.place.root, "status").returncode == 3
    assert command(run.place.root, "stop").stdout == "nothing runs here\n"


def test_the_facts_of_a_dead_run_are_not_believed(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.prepare()
    place.write("run.json", {"status": "ready", "supervisor": os.getpid(), "processes": {}})
    place.file("lock").write_text(str(os.getpid()))
    assert System(tmp_path, os.environ).facts == {}
    assert command(tmp_path, "status").returncode == 3


def test_reset_stops_and_empties_but_keeps_the_tools(start: Callable[..., TinyRun]) -> None:
    run = start("steady")
    run.until("ready")
    run.place.file("tools").mkdir()
    assert command(run.place.root, "reset", "--yes").returncode == 0
    assert run.process.wait(PATIENCE) == 0
    assert [entry.name for entry in run.place.root.iterdir()] == ["tools"]


def test_a_background_run_that_cannot_start_says_why(tmp_path: Path) -> None:
    system = System.private(tmp_path, {"REDIS_URL": "redis://127.0.0.1:1/0"})
    with pytest.raises(RunFailed, match="REDIS_URL names a server that does not answer"):
        system.start()
