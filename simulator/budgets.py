"""Budgets in memory: what of each is leased and spent. What moves is decided by the product's own rules."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from apps.quotas.booking import BudgetBooking
from apps.quotas.leases import BudgetUse
from simulator.postgres import BudgetPart, BudgetRow, Tables

Key = tuple[UUID, int]
"""Account and epoch of a lease."""


def uses(tables: Tables, names: Iterable[str]) -> dict[str, BudgetUse]:
    """What is taken of these budgets."""
    rows = {name: tables.budgets.setdefault(name, BudgetRow()) for name in names}
    return {name: BudgetUse(leased=row.leased, spent=row.spent) for name, row in rows.items()}


def lease(tables: Tables, key: Key, parts: Mapping[str, int]) -> None:
    """A part of each goes with a lease."""
    for name, tokens in parts.items():
        tables.budgets[name].leased += tokens
        tables.budget_parts.setdefault((*key, name), BudgetPart()).granted += tokens


def parts_of(tables: Tables, key: Key, names: Iterable[str]) -> dict[str, tuple[int, int]]:
    """What a lease has of these budgets: remaining and settled."""
    found = {name: tables.budget_parts.get((*key, name)) for name in names}
    return {name: (part.remaining, part.settled) for name, part in found.items() if part}


def carry_out(tables: Tables, key: Key, booked: Sequence[BudgetBooking]) -> None:
    """An entry is booked."""
    for move in booked:
        row = tables.budgets.setdefault(move.id, BudgetRow())
        row.spent += move.spent
        if move.settled or move.returned:
            part = tables.budget_parts[(*key, move.id)]
            part.settled += move.settled
            part.returned += move.returned
            row.leased -= move.settled + move.returned


def release(tables: Tables, key: Key) -> None:
    """A lease is closed: what it has of budgets is free again."""
    for (account, epoch, name), part in tables.budget_parts.items():
        if (account, epoch) == key:
            tables.budgets[name].leased -= part.remaining
            part.returned += part.remaining
