"""A statement's arithmetic: going back through the transfers from now gives what was then."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from apps.quotas.statement import COLUMNS, Balances, Movement, lines

AT = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
WAYS = [
    ("issuer", "available"), ("available", "held"), ("held", "spent"), ("held", "available"), ("available", "spent"),
    ("house", "absorbed"), ("absorbed", "house"), ("spent", "available"), ("available", "leased"), ("leased", "spent"),
    ("leased", "available"), ("available", "expired"), ("available", "refunded"), ("spent", "leased"),
]  # fmt: skip
NOTHING = Balances(**dict.fromkeys(COLUMNS, 0))


def _forward(balances: Balances, debit: str, credit: str, tokens: int) -> Balances:
    """What the ledger's posting does."""
    columns = {name: getattr(balances, name) for name in COLUMNS}
    columns["granted"] += tokens if debit == "issuer" else 0
    for name, sign in ((debit, -1), (credit, 1)):
        if name in columns:
            columns[name] += sign * tokens
    return Balances(**columns)


@given(st.lists(st.tuples(st.sampled_from(WAYS), st.integers(1, 10**15))))
def test_going_back_is_going_forward_undone(steps: list[tuple[tuple[str, str], int]]) -> None:
    after, now = [], NOTHING
    movements = []
    for number, ((debit, credit), tokens) in enumerate(steps):
        now = _forward(now, debit, credit, tokens)
        after.append(now)
        at = AT + timedelta(seconds=number)
        movements.append(Movement(uuid4(), at, "CODE", debit, credit, tokens, uuid4(), "", ""))
    told = list(lines(now, reversed(movements)))

    assert [line.after for line in reversed(told)] == after
    changes = sum(line.movement.change for line in told)
    assert changes == now.balance == now.available + now.leased + now.held
