"""A spool's file: lines appended by one process, read by whoever adopts it when that process is dead.

A line is written by one call and not synced: it survives the death of the process, and a machine that loses power has
lost the calls on it too. The owner locks its file for as long as it lives, also while it is frozen, so a file that can
be locked is a dead process's.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from apps.core.errors import StoreUnavailable

SUFFIX = ".spool"
_UNFINISHED = ".new"
MODE = 0o600

Line = list[Any]
"""A JSON array; its first item says what it is."""


class SpoolFile:
    """A file that this process owns. Made anew by :meth:`create`, taken from a dead process by :meth:`adopt`."""

    def __init__(self, path: Path, descriptor: int, size: int) -> None:
        self.path, self.size = path, size
        self._descriptor = descriptor
        self._is_torn = False

    @classmethod
    def create(cls, path: Path) -> "SpoolFile":
        """Make an empty file. It gets its name once it is locked, so that nobody takes it for a dead one.

        Raises:
            OSError
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(path, _locked_anew(path, b""), 0)

    @classmethod
    def adopt(cls, path: Path) -> "SpoolFile | None":
        """Take over a file whose owner is dead; None when it lives, or somebody else was faster."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Replaced or removed since it was opened: then the lock is one on a file that nobody sees any more.
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return cls(path, descriptor, os.fstat(descriptor).st_size)
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(descriptor)
        return None

    def append(self, *lines: Line) -> None:
        """Write lines, in one call.

        Raises:
            StoreUnavailable: the disk is full or broken.
        """
        self.append_raw(b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines))

    def append_raw(self, data: bytes) -> None:
        """The same of lines that are text already, each with its end. Raises as :meth:`append`."""
        whole = b"\n" + data if self._is_torn else data  # What follows half a line is not the rest of it.
        try:
            written = os.write(self._descriptor, whole)
        except OSError as error:
            raise StoreUnavailable(f"the spool cannot be written: {error.strerror}") from error
        self.size += written
        self._is_torn = written != len(whole)
        if self._is_torn:
            raise StoreUnavailable("the spool cannot be written: the disk is full")

    def lines(self) -> Iterator[Line]:
        """All whole lines; what was torn by a full disk or a death is passed over."""
        with self.path.open("rb") as file:
            for raw in file:
                try:
                    line = orjson.loads(raw)
                except orjson.JSONDecodeError:
                    continue
                if isinstance(line, list) and line:
                    yield line

    def rewrite(self, lines: Iterable[bytes]) -> None:
        """Replace the content. Whoever reads the path finds the old or the new, whole.

        Raises:
            StoreUnavailable: the disk is full or broken; the old content stands.
        """
        content = b"".join(lines)
        try:
            descriptor = _locked_anew(self.path, content)
        except OSError as error:
            raise StoreUnavailable(f"the spool cannot be written: {error.strerror}") from error
        os.close(self._descriptor)
        self._descriptor, self.size = descriptor, len(content)

    def remove(self) -> None:
        """Delete the file: nothing in it is needed any more."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let go of the file, as the process's death does: whoever comes next adopts it."""
        os.close(self._descriptor)


def _locked_anew(path: Path, content: bytes) -> int:
    unfinished = path.with_suffix(_UNFINISHED)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        unfinished.rename(path)
    except OSError:
        os.close(descriptor)
        unfinished.unlink(missing_ok=True)
        raise
    return descriptor


def files_in(directory: Path) -> list[Path]:
    """The spools of a directory, living and dead, by name."""
    return sorted(directory.glob(f"*{SUFFIX}"))
