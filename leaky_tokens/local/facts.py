"""``run.json``: what runs here and how to reach it, for scripts. True while the system runs, gone when it stops."""

import os
from dataclasses import dataclass, field
from typing import Any

from leaky_tokens.local.place import Place

FILE = "run.json"
STARTING, READY, RESTARTING = "starting", "ready", "restarting"


@dataclass
class Facts:
    """The facts of one run, written out at every change."""

    place: Place
    known: dict[str, Any] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)
    unready: set[str] = field(default_factory=set)
    all_started: bool = False

    def learn(self, **facts: Any) -> None:
        """Add to the facts."""
        self.known |= facts
        self._write()

    def started(self, name: str, pid: int) -> None:
        """A process exists; it is not ready."""
        self.pids[name] = pid
        self.unready.add(name)
        self._write()

    def ready(self, name: str) -> None:
        """A process answers."""
        self.unready.discard(name)
        self._write()

    def gone(self, name: str) -> None:
        """A process has ended."""
        self.pids.pop(name, None)
        self.unready.add(name)
        self._write()

    def complete(self, **facts: Any) -> None:
        """Everything is up for the first time."""
        self.all_started = True
        self.learn(**facts)

    def forget(self) -> None:
        """Nothing runs any more."""
        self.place.file(FILE).unlink(missing_ok=True)

    def status(self) -> str:
        """``starting`` until all are ready for the first time, then ``ready``, or ``restarting`` after a crash."""
        if not self.all_started:
            return STARTING
        return RESTARTING if self.unready else READY

    def _write(self) -> None:
        content = {"status": self.status(), "supervisor": os.getpid(), **self.known, "processes": self.pids}
        self.place.write(FILE, content)
