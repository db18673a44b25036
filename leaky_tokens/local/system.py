"""A system of one directory, seen from outside: start it in the background, ask what runs, stop it.

`make run DETACH=1` and `make stop` use it on ``.local``; the functional tests use it on directories of their own, so
what they test is what a developer runs.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leaky_tokens.local import lock
from leaky_tokens.local.errors import RunFailed
from leaky_tokens.local.facts import FILE, READY
from leaky_tokens.local.place import ROOT, Place
from leaky_tokens.local.ports import PORT_OF

START_SECONDS, STOP_SECONDS = 120, 8
OUTPUT = "supervisor"
"""The log of a supervisor that runs in the background."""

NOT_INHERITED = {"DATABASE_URL", "DATABASE_OWNER_URL", "QUOTA_REDIS_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE"}


class System:
    """The system in ``root``. ``environment`` is what its supervisor gets, whole."""

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        self.place = Place(root)
        self.environment = {**environment, "LEAKY_LOCAL": str(root)}
        self._supervisor: subprocess.Popen[bytes] | None = None

    @classmethod
    def private(cls, root: Path, environment: Mapping[str, str] | None = None) -> "System":
        """A system of its own in ``root``: own stores, free ports, nothing of ours but ``environment``."""
        inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        any_port = {variable: "0" for variable, _ in PORT_OF.values()}
        return cls(root, {**inherited, **any_port, **(environment or {})})

    def start(self) -> None:
        """Start in the background and return when everything is ready.

        Raises:
            RunFailed: it ended, or was not ready in time; with what it said.
        """
        self.place.prepare()
        output = self.place.log(OUTPUT)
        with output.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "leaky_tokens.local", "run"], cwd=ROOT, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self._supervisor = process
        deadline = time.monotonic() + START_SECONDS
        while self.facts.get("status") != READY:
            if process.poll() is not None:
                raise RunFailed(output.read_text().strip())
            if time.monotonic() > deadline:
                self.stop()
                raise RunFailed(f"not ready in {START_SECONDS} s:\n{output.read_text()}")
            time.sleep(0.05)

    def stop(self) -> bool:
        """Stop it and return when every process is gone; False when nothing ran.

        A supervisor that does not stop in time is killed; its processes then end by themselves.

        Raises:
            RunFailed: processes are left nevertheless.
        """
        supervisor = lock.holder(self.place)
        if supervisor is None:
            return False
        os.kill(supervisor, signal.SIGTERM)
        if not _gone(self.place, STOP_SECONDS):
            os.kill(supervisor, signal.SIGKILL)
        os.close(lock.wait_until_left(self.place))
        self.place.file(FILE).unlink(missing_ok=True)
        if self._supervisor is not None:
            self._supervisor.wait()
        return True

    def reset(self) -> None:
        """Stop it and delete its data, secrets and logs; the tools of the installation stay."""
        self.stop()
        for entry in self.place.root.iterdir() if self.place.root.exists() else ():
            if entry.name != "tools":
                _delete(entry)

    @property
    def facts(self) -> dict[str, Any]:
        """``run.json`` of the run that goes on now; empty when none does, also where a dead one left its file."""
        supervisor = lock.holder(self.place)
        facts = self.place.read(FILE)
        return facts if supervisor and facts.get("supervisor") == supervisor else {}

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to the process ``name`` and return its pid."""
        pid = int(self.facts["processes"][name])
        os.kill(pid, number)
        return pid


def _delete(entry: Path) -> None:
    """A file, a directory, or a cluster that had to live elsewhere, with its link."""
    if entry.is_symlink():
        shutil.rmtree(entry.resolve().parent)
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()


def _gone(place: Place, seconds: float) -> bool:
    """Whether the supervisor's lock was let go of in time."""
    descriptor = lock.take_within(place, lock.SUPERVISOR, seconds)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is not None
