"""A process of a site: started, asked whether it is ready, and harmed by its own pid only."""

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from leaky_tokens.local.place import ROOT
from tests.functional.payers import eventually

START_SECONDS = 90
END_SECONDS = 20


class Process:
    """One program. PostgreSQL is many processes: it is frozen and killed with its children.

    ``command`` is guarded, so that it ends when the tests do, however they end. ``environment`` is all that it gets;
    it runs in ``directory``.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        is_ready: Callable[[], bool],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.command = command
        self.is_ready = is_ready
        self.log = log
        self.directory = ROOT
        self.environment = dict(os.environ if environment is None else environment)
        self._stop_signal = stop_signal
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its pid; it must have been started."""
        assert self._popen is not None
        return self._popen.pid

    def runs(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    def begin(self) -> None:
        """Start it and return at once."""
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(
                self.command, cwd=self.directory, env=self.environment, stdout=output, stderr=output
            )

    def start(self) -> None:
        """Start it and return when it answers."""
        self.begin()
        self.await_ready()

    def await_ready(self) -> float:
        """Wait until it answers; the seconds that took."""
        began = time.monotonic()
        assert eventually(lambda: self.is_ready() or not self.runs(), seconds=START_SECONDS), self.tail()
        assert self.runs(), self.tail()
        return time.monotonic() - began

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process itself."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def stop(self, number: signal.Signals | None = None) -> int:
        """Ask it to end, in its own way or by ``number``, and return its exit code when it has. Frozen, it thaws."""
        if not self.runs():
            return 0
        self.send(number or self._stop_signal)
        self.thaw()
        return self._wait()

    def kill(self) -> None:
        """``kill -9``, children first: what else they would say to each other is never said."""
        for pid in reversed(self._family()):
            _signal(pid, signal.SIGKILL)
        if self._popen is not None:
            self._wait()

    def freeze(self) -> None:
        """Its connections stay open, and nothing answers any more."""
        for pid in self._family():
            _signal(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on where it was."""
        for pid in self._family():
            _signal(pid, signal.SIGCONT)

    def limit_files(self, size: int | None) -> None:
        """No file of it may grow beyond so many bytes, as on a disk that is full; None ends that."""
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))

    def tail(self) -> str:
        """The end of what it wrote."""
        return f"{self.name}:\n{self.log.read_text(errors='replace')[-3000:]}"

    def _wait(self) -> int:
        assert self._popen is not None
        return self._popen.wait(timeout=END_SECONDS)

    def _family(self) -> list[int]:
        if not self.runs():
            return []
        pids = [self.pid]
        for pid in pids:
            with suppress(FileNotFoundError):
                pids += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return pids


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
