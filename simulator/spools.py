"""Spool files of a run: lines that survive a SIGKILL, whatever process reads them next."""

from dataclasses import dataclass, field
from uuid import UUID

from apps.limiter.api import Ending


@dataclass(frozen=True, slots=True)
class Line:
    """A call's admission: how it would end if nothing more were known of it, and when it was admitted."""

    ending: Ending
    at: int


@dataclass(eq=False, slots=True)
class SpoolFile:
    """One file. ``owner`` is the process that has it locked; empty: anybody may adopt it."""

    id: str
    owner: str
    admitted: dict[UUID, Line] = field(default_factory=dict)
    progress: dict[UUID, int] = field(default_factory=dict)
    ended: dict[UUID, Ending] = field(default_factory=dict)

    def progress_of(self, hold: UUID) -> int:
        """The last progress of a call that was written, in tokens."""
        return self.progress.get(hold, 0)

    def without_end(self) -> list[UUID]:
        """Calls that were admitted, and of which it is not written how they ended."""
        return [hold for hold in self.admitted if hold not in self.ended]

    def forget(self, hold: UUID) -> None:
        """A covered call's lines are dropped."""
        for lines in (self.admitted, self.progress, self.ended):
            lines.pop(hold, None)


@dataclass(eq=False, slots=True)
class Disk:
    """The directory in which gateways keep their spools."""

    files: list[SpoolFile] = field(default_factory=list)

    def create(self, name: str, owner: str) -> SpoolFile:
        """A file of a new process, locked by it."""
        spool = SpoolFile(name, owner)
        self.files.append(spool)
        return spool

    def release(self, owner: str) -> None:
        """A process is dead, and its locks with it."""
        for spool in self.files:
            if spool.owner == owner:
                spool.owner = ""

    def adopt(self, owner: str) -> list[SpoolFile]:
        """Lock what dead processes left."""
        orphans = [spool for spool in self.files if not spool.owner]
        for spool in orphans:
            spool.owner = owner
        return orphans

    def lose(self, own: SpoolFile) -> list[SpoolFile]:
        """A file is gone."""
        self.files = [spool for spool in self.files if spool is not own]
        return [own]

    def remove(self, spool: SpoolFile) -> None:
        """A file that is covered whole."""
        self.files.remove(spool)
