"""The journal as it is read: what ended, in order, and how far the ledger has it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

MARK_FIELDS: Final = ("id", "last", "at", "pass", "passed")


class EntryKind(StrEnum):
    """A hold that was settled, or swept; tokens that go back; counts of refusals."""

    SETTLED = "S"
    SWEPT = "X"
    RETURNED = "R"
    DENIED = "D"


@dataclass(frozen=True, slots=True)
class BudgetMove:
    """What an entry means for a budget: tokens charged to it, and tokens of its part that go back."""

    id: str
    charged: int
    returned: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a journal. ``subject`` is the hold, the return or the note: each (kind, subject) is booked once.

    ``charged`` is all that the hold came to, also when an earlier entry (X) has charged a part of it. ``returned`` goes
    from the lease back to what is available, because the purse can no longer use it.
    """

    id: str
    kind: EntryKind
    subject: UUID
    account: UUID | None
    epoch: int
    generation: int
    amount: int
    charged: int
    absorbed: int
    returned: int
    progress: int
    budgets: tuple[BudgetMove, ...]
    facts: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """A shard's journal and sweeper: which journal, its last entry, up to where it is drained, the last pass."""

    journal_id: str
    last: str
    at: str
    number: int
    passed_ms: int

    @property
    def drained(self) -> bool:
        """Whether nothing waits."""
        return place(self.at) >= place(self.last)

    def covers(self, journal_id: str, entry_id: str) -> bool:
        """Whether an entry of that journal is in the ledger."""
        return journal_id == self.journal_id and place(entry_id) <= place(self.at)


def decode_entry(entry_id: bytes, fields: Mapping[bytes, bytes]) -> Entry:
    """A journal entry as ``XRANGE`` gives it."""
    account = fields[b"a"].decode()
    return Entry(
        id=entry_id.decode(),
        kind=EntryKind(fields[b"k"].decode()),
        subject=UUID(fields[b"id"].decode()),
        account=UUID(account) if account else None,
        **{name: int(fields[key]) for name, key in _ENTRY_NUMBERS.items()},
        budgets=tuple(_budget_move(move) for move in fields[b"bu"].decode().split()),
        facts=fields[b"f"],
        payload=fields[b"p"],
    )


def decode_mark(values: Sequence[bytes | None]) -> Mark:
    """A shard's mark, from ``HMGET mark_key(shard) *MARK_FIELDS``."""
    journal_id, last, at, number, passed = ((value or b"").decode() for value in values)
    return Mark(journal_id, last, at, int(number or 0), int(passed or 0))


def place(entry_id: str) -> tuple[int, int]:
    """An entry's place in its journal; before all others for the empty id."""
    milliseconds, _, sequence = (entry_id or "0-0").partition("-")
    return int(milliseconds), int(sequence)


_ENTRY_NUMBERS = {
    "epoch": b"e",
    "generation": b"g",
    "amount": b"n",
    "charged": b"c",
    "absorbed": b"b",
    "returned": b"r",
    "progress": b"pr",
}


def _budget_move(text: str) -> BudgetMove:
    name, charged, returned = text.rsplit(",", 2)
    return BudgetMove(name, int(charged), int(returned))
