"""What a spool waits for: calls that were admitted, how they ended, and where the journal has that. Pure.

A call is *covered* when the ledger has committed the journal up to its entry. Entry ids are times, and a journal that
was lost begins anew with later ones; so a mark counts for its own journal only. What is not covered in time is
sent again, which changes nothing where it had arrived.

Times are milliseconds of one clock of the caller's that never stands still and never goes back.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

Position = tuple[int, int]
"""An entry's id in a stream: milliseconds, and a number within them."""

E = TypeVar("E")


@dataclass(slots=True)
class Waiting(Generic[E]):
    """A call that is not covered. ``ending`` is None while it runs; ``journal`` is empty until the end was received.

    ``since_ms``: from when on the ledger is waited for: the call's end, or the moment at which it must have ended.
    """

    shard: int
    since_ms: int
    ending: E | None = None
    sent_ms: int = 0
    journal: str = ""
    entry: Position = (0, 0)


class Book(Generic[E]):
    """The calls of a spool. ``E`` is what ends one: whatever the caller needs to send it again."""

    def __init__(self, *, call_ms: int, resend_ms: int) -> None:
        """No call lives longer than ``call_ms``; an end that is not covered after ``resend_ms`` is sent again."""
        self._call_ms = call_ms
        self._resend_ms = resend_ms
        self._waiting: dict[UUID, Waiting[E]] = {}
        self._acknowledged: dict[int, dict[UUID, Waiting[E]]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, hold: UUID) -> bool:
        return hold in self._waiting

    def admit(self, hold: UUID, shard: int, admitted_ms: int) -> None:
        """A call was admitted; one that is known stays as it is."""
        if hold not in self._waiting:
            self._waiting[hold] = Waiting(shard, admitted_ms + self._call_ms)

    def adopt(self, hold: UUID, shard: int, since_ms: int, ending: E) -> None:
        """A call of a dead process, which has ended with it, if not before: its end is due at once."""
        if hold not in self._waiting:
            self._waiting[hold] = Waiting(shard, since_ms, ending, sent_ms=-self._resend_ms)

    def end(self, hold: UUID, ending: E, now_ms: int) -> None:
        """A call has ended, and its end is sent now. A call that is covered, or was never admitted, is nobody's."""
        if (waiting := self._waiting.get(hold)) is not None and waiting.ending is None:
            waiting.ending, waiting.sent_ms = ending, now_ms
            waiting.since_ms = min(waiting.since_ms, now_ms)

    def acknowledge(self, hold: UUID, journal: str, entry: Position) -> None:
        """The journal of this identity has the call's end in this entry; the latest word counts."""
        if (waiting := self._waiting.get(hold)) is not None:
            waiting.journal, waiting.entry = journal, entry
            self._acknowledged.setdefault(waiting.shard, {})[hold] = waiting

    def cover(self, shard: int, journal: str, drained: Position) -> list[UUID]:
        """The ledger has this journal up to ``drained``. Returns the calls that are covered now, and forgets them."""
        acknowledged = self._acknowledged.get(shard, {})
        covered = [hold for hold, at in acknowledged.items() if at.journal == journal and at.entry <= drained]
        for hold in covered:
            del acknowledged[hold], self._waiting[hold]
        return covered

    def due(self, now_ms: int) -> Iterator[tuple[UUID, E]]:
        """The ends that are to be sent again now; asked again, they are due after ``resend_ms`` more."""
        for hold, waiting in list(self._waiting.items()):
            if waiting.ending is not None and now_ms - waiting.sent_ms >= self._resend_ms:
                waiting.sent_ms = now_ms
                yield hold, waiting.ending

    def shards(self) -> list[int]:
        """The shards whose marks matter now."""
        return [shard for shard, acknowledged in self._acknowledged.items() if acknowledged]

    def oldest_age_ms(self, now_ms: int) -> int | None:
        """Since when the ledger is waited for; None when it is not. Calls under way do not wait yet."""
        since = min((waiting.since_ms for waiting in self._waiting.values()), default=None)
        return now_ms - since if since is not None and since <= now_ms else None


def position_of(entry_id: str) -> Position:
    """An entry's id as it can be compared: ``1700000000000-3``; empty is before all."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds or 0), int(number or 0)
