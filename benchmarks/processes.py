"""Pinned child processes, and what they used: CPU time and resident memory of whole process trees from /proc."""

import http.client
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
START_SECONDS = 60.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.02


class UnfitSubjectError(Exception):
    """A process ended, stayed silent, or gave a wrong answer; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process that we started, pinned to one core, in a process group of its own."""

    process: subprocess.Popen[bytes]
    log: Path

    def log_tail(self) -> str:
        """The end of what it has said."""
        return self.log.read_text(errors="replace")[-2000:]

    def stop(self, stop_signal: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end, then end its group. Returns when it is gone."""
        self.process.send_signal(stop_signal)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_SECONDS)


@dataclass(frozen=True, slots=True)
class Use:
    """CPU seconds (user + system, with those of children that have ended) and resident bytes of a process tree."""

    cpu_seconds: float
    resident_bytes: int


def start(command: Sequence[str], *, core: int, log: Path, environment: Mapping[str, str] | None = None) -> Child:
    """Start ``command`` on ``core`` and nowhere else; its threads and children inherit the pin."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            env=os.environ | dict(environment or {}),
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    return Child(process, log)


def wait_until_ready(child: Child, port: int, path: str, seconds: float = START_SECONDS) -> None:
    """Return when ``GET path`` on the child's port is answered with 200.

    Raises:
        UnfitSubjectError: it ended, or did not answer so within ``seconds``.
    """
    wait_for(child, lambda: _answers(port, path), seconds)


def wait_for(child: Child, is_ready: Callable[[], bool], seconds: float = START_SECONDS) -> None:
    """Return when ``is_ready()`` says so.

    Raises:
        UnfitSubjectError: the child ended, or was not ready within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not is_ready():
        if child.process.poll() is not None or time.monotonic() > deadline:
            raise UnfitSubjectError(f"{child.log.stem} does not answer:\n{child.log_tail()}")
        time.sleep(POLL_SECONDS)


def use_of(roots: Sequence[int]) -> Use:
    """What the trees under the process ids ``roots`` have used so far, and hold now."""
    table = _process_table()
    members = [table[pid] for pid in _with_descendants(roots, table)]
    ticks = sum(member.ticks for member in members)
    return Use(ticks / TICKS_PER_SECOND, sum(member.resident_pages for member in members) * PAGE_BYTES)


def busy_seconds(core: int) -> float:
    """Seconds since boot that ``core`` was not idle, with what the hypervisor took away from it (steal)."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _wait, hard, soft, steal = (int(field) for field in fields[:8])
            return (user + nice + system + hard + soft + steal) / TICKS_PER_SECOND
    raise ValueError(f"there is no core {core}")


@dataclass(frozen=True, slots=True)
class _Row:
    parent: int
    ticks: int
    resident_pages: int


def _process_table() -> dict[int, _Row]:
    table = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):  # it ended while we looked
                table[int(entry.name)] = _row((entry / "stat").read_text())
    return table


def _row(stat: str) -> _Row:
    """Fields as in proc(5), counted after the command's closing bracket, since the command may contain blanks."""
    fields = stat.rpartition(")")[2].split()
    return _Row(parent=int(fields[1]), ticks=sum(int(field) for field in fields[11:15]), resident_pages=int(fields[21]))


def _with_descendants(roots: Sequence[int], table: Mapping[int, _Row]) -> set[int]:
    members = {pid for pid in roots if pid in table}
    while grown := {pid for pid, row in table.items() if row.parent in members} - members:
        members |= grown
    return members


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
