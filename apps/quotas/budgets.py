"""Keys' own budgets, moved in the transactions of their holds: the last row that those lock."""

from django.db.backends.utils import CursorWrapper

from apps.core.errors import InsufficientBudget
from apps.quotas.domain import Budget


def hold(cursor: CursorWrapper, budget: Budget, amount: int) -> None:
    """Count a new hold of ``amount`` tokens against its key's budget.

    Raises:
        InsufficientBudget: there is less left; the hold is taken back with its transaction.
    """
    cursor.execute(_HOLD, {"key": budget.id, "amount": amount, "budget": budget.tokens})
    if cursor.rowcount:
        return
    cursor.execute("SELECT spent, held FROM quotas_key_budget WHERE key_id = %s", [budget.id])
    spent, held = cursor.fetchone() or (0, 0)
    raise InsufficientBudget(amount, budget.tokens, spent, held)


_HOLD = """
INSERT INTO quotas_key_budget AS kept (key_id, held)
SELECT %(key)s, %(amount)s WHERE %(amount)s <= %(budget)s
ON CONFLICT (key_id) DO UPDATE SET held = kept.held + excluded.held
WHERE kept.spent + kept.held + excluded.held <= %(budget)s
"""


def move(cursor: CursorWrapper, budget_id: str | None, *, released: int, charged: int) -> None:
    """Tell a budget, if there is one, that ``released`` tokens are no longer held and ``charged`` were spent."""
    if budget_id is not None:
        cursor.execute(_MOVE, [released, charged, budget_id])


_MOVE = "UPDATE quotas_key_budget SET held = held - %s, spent = spent + %s WHERE key_id = %s"
