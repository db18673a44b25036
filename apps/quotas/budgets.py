"""Budgets beside an account, moved in the transactions of their holds and leases: the last rows that those lock.

Those of one transaction are locked in the order of their ids, so no two transactions wait for each other in a circle.
"""

from collections.abc import Collection, Mapping, Sequence

from django.db.backends.utils import CursorWrapper

from apps.core.errors import InsufficientBudget
from apps.quotas.domain import Budget
from apps.quotas.leases import BudgetUse


def hold(cursor: CursorWrapper, budgets: Sequence[Budget], amount: int) -> None:
    """Count a new hold of ``amount`` tokens against its budgets.

    Raises:
        InsufficientBudget: there is less left; the hold is taken back with its transaction.
    """
    for budget in sorted(budgets, key=lambda one: one.id):
        cursor.execute(_HOLD, {"id": budget.id, "amount": amount, "budget": budget.tokens})
        if not cursor.rowcount:
            use = _read(cursor, [budget.id], "").get(budget.id, BudgetUse())
            raise InsufficientBudget(amount, budget.tokens, use.spent, use.held + use.leased, budget.id)


_HOLD = """
INSERT INTO quotas_budget AS kept (id, held)
SELECT %(id)s, %(amount)s WHERE %(amount)s <= %(budget)s
ON CONFLICT (id) DO UPDATE SET held = kept.held + excluded.held
WHERE kept.spent + kept.held + kept.leased + excluded.held <= %(budget)s
"""


def move(cursor: CursorWrapper, ids: Collection[str], *, released: int, charged: int) -> None:
    """Tell budgets that ``released`` tokens are no longer held and ``charged`` were spent."""
    for budget_id in sorted(ids):
        cursor.execute(_MOVE, [released, charged, budget_id])


_MOVE = "UPDATE quotas_budget SET held = held - %s, spent = spent + %s WHERE id = %s"


def lock(cursor: CursorWrapper, ids: Collection[str]) -> Mapping[str, BudgetUse]:
    """What is taken of budgets, which are made where they are not there yet and locked."""
    if not ids:
        return {}
    named = sorted(ids)
    cursor.execute("INSERT INTO quotas_budget (id) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING", [named])
    return _read(cursor, named, "ORDER BY id FOR UPDATE")


def _read(cursor: CursorWrapper, ids: Sequence[str], locking: str) -> dict[str, BudgetUse]:
    cursor.execute(_READ + locking, [list(ids)])
    return {row[0]: BudgetUse(*row[1:]) for row in cursor.fetchall()}


_READ = "SELECT id, leased, held, spent FROM quotas_budget WHERE id = ANY(%s) "


def lease(cursor: CursorWrapper, parts: Mapping[str, int]) -> None:
    """Give tokens of locked budgets to a lease."""
    cursor.execute(_LEASE, [list(parts), list(parts.values())])


_LEASE = """
UPDATE quotas_budget AS kept SET leased = kept.leased + part.tokens
FROM unnest(%s::text[], %s::bigint[]) AS part (id, tokens) WHERE kept.id = part.id
"""
