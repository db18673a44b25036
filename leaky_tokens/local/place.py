"""Where the system of one machine keeps its files: ``.local``, or the directory that ``LEAKY_LOCAL`` names."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
"""The checkout: where the processes run."""

LOG_BYTES = 1_000_000
LOGS_KEPT = 3


@dataclass(frozen=True, slots=True)
class Place:
    """The directory of one system. Two systems never share one."""

    root: Path

    def prepare(self) -> None:
        """Make the directories; what lies here is the developer's alone."""
        self.root.mkdir(parents=True, exist_ok=True)
        for name in ("logs", "metrics", "beat"):
            (self.root / name).mkdir(exist_ok=True)

    def file(self, name: str) -> Path:
        """A file or directory of ours."""
        return self.root / name

    def empty(self, name: str) -> None:
        """Delete the files in a directory of ours."""
        for file in self.file(name).iterdir():
            file.unlink()

    def log(self, name: str) -> Path:
        """Standard output and error of the process ``name``."""
        return self.root / "logs" / f"{name}.log"

    def rotate_log(self, name: str) -> Path:
        """The log to append to; one that has grown past 1 MB becomes ``.1``, and so on to ``.3``."""
        log = self.log(name)
        if log.exists() and log.stat().st_size > LOG_BYTES:
            for number in range(LOGS_KEPT, 0, -1):
                older = log.with_suffix(f".log.{number}")
                newer = log.with_suffix(f".log.{number - 1}") if number > 1 else log
                if newer.exists():
                    newer.replace(older)
        return log

    def log_tail(self, name: str, lines: int = 15) -> list[str]:
        """The last ``lines`` that the process ``name`` wrote."""
        log = self.log(name)
        return log.read_text(errors="replace")[-20_000:].splitlines()[-lines:] if log.exists() else []

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of ours; empty when there is none."""
        file = self.file(name)
        return dict(json.loads(file.read_text())) if file.exists() else {}

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Replace a JSON file of ours in one step, readable by us alone: a reader sees the old or the new one whole."""
        new = self.file(f"{name}.new")
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            json.dump(content, stream, indent=2)
            stream.write("\n")
        new.replace(self.file(name))
