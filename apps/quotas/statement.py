"""A statement's arithmetic: from an account's balances now back through its transfers. Pure, like the domain.

Balances change by transfers only, so the balances at any moment are those of now with the later transfers undone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

COLUMNS = ("granted", "pending", "available", "leased", "held", "spent", "expired", "refunded", "absorbed")
"""Balances of an account, as its columns are called."""

OWNED = ("available", "leased", "held")
"""Balances whose tokens are the payer's and not spent yet."""


@dataclass(frozen=True, slots=True)
class Balances:
    """An account's balances at one moment, in tokens."""

    granted: int
    pending: int
    available: int
    leased: int
    held: int
    spent: int
    expired: int
    refunded: int
    absorbed: int

    @property
    def balance(self) -> int:
        """What the payer has: free, lent to the quota store, or set aside for calls under way."""
        return self.available + self.leased + self.held


@dataclass(frozen=True, slots=True)
class Movement:
    """One transfer: ``tokens`` from the balance ``debit`` to the balance ``credit``."""

    id: UUID
    at: datetime
    code: str
    debit: str
    credit: str
    tokens: int
    ref: UUID
    request_id: str
    reason: str

    @property
    def change(self) -> int:
        """By how many tokens it changed what the payer has."""
        return self.tokens * ((self.credit in OWNED) - (self.debit in OWNED))


@dataclass(frozen=True, slots=True)
class Line:
    """A movement, and what the payer had after it."""

    movement: Movement
    after: Balances


def undone(balances: Balances, debit: str, credit: str, tokens: int) -> Balances:
    """The balances before ``tokens`` went from ``debit`` to ``credit``. What has no column is ours and not shown.

    The issuer gives what is granted: there the debit, too, makes the account's column grow.
    """
    columns = asdict(balances)
    if credit in columns:
        columns[credit] -= tokens
    if debit == "issuer":
        columns["granted"] -= tokens
    elif credit == "issuer":
        columns["granted"] += tokens
    if debit in columns:
        columns[debit] += tokens
    return Balances(**columns)


def lines(after: Balances, newest_first: Iterable[Movement]) -> Iterator[Line]:
    """Movements, newest first, each with the balances after it; ``after`` are those after the newest."""
    for movement in newest_first:
        yield Line(movement, after)
        after = undone(after, movement.debit, movement.credit, movement.tokens)
