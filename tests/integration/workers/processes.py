"""Worker and beat as real processes, and conditions to wait for."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PROBE = "tests.integration.workers.probe"
PLAIN = ("--without-gossip", "--without-mingle", "--without-heartbeat")


@dataclass(frozen=True, slots=True)
class Process:
    """A started process and its log."""

    popen: "subprocess.Popen[bytes]"
    log: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()

    def terminate(self) -> float:
        """Seconds from TERM to the end."""
        began = time.monotonic()
        self.popen.send_signal(signal.SIGTERM)
        self.popen.wait(timeout=30)
        return time.monotonic() - began

    def text(self) -> str:
        return self.log.read_text()


Start = Callable[..., Process]


def celery(*arguments: str, app: str, log: Path, environment: dict[str, str]) -> Process:
    """Start Celery as a user does."""
    command = [sys.executable, "-m", "celery", "-q", "-A", app, *arguments]
    with log.open("wb") as output:
        popen = subprocess.Popen(command, env=os.environ | environment, stdout=output, stderr=subprocess.STDOUT)
    return Process(popen, log)


def until(condition: Callable[[], object], seconds: float, what: str) -> float:
    """Wait for ``condition``; returns the seconds it took and fails after ``seconds``."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.01)
    return time.monotonic() - began
