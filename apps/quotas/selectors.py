"""The ledger's reads."""

from dataclasses import dataclass, fields
from datetime import datetime
from uuid import UUID

from apps.quotas import domain, models

_COLUMNS = tuple(field.name for field in fields(domain.Account))


def balance(account: UUID) -> domain.Account:
    """An account and its balances.

    Raises:
        Account.DoesNotExist: nobody has granted it anything yet.
    """
    return domain.Account(**models.Account.objects.values(*_COLUMNS).get(id=account))


def balances_of(payer_kind: str, payer_id: UUID) -> list[domain.Account]:
    """A payer's accounts, by provider."""
    rows = models.Account.objects.filter(payer_id=payer_id, payer_kind=payer_kind).order_by("provider")
    return [domain.Account(**row) for row in rows.values(*_COLUMNS)]


def budget_of(budget_id: str) -> tuple[int, int]:
    """What the calls of a budget have spent, and what they hold now (with what leases have of it), in tokens."""
    row = models.Budget.objects.filter(id=budget_id).values_list("spent", "held", "leased").first()
    spent, held, leased = row or (0, 0, 0)
    return spent, held + leased


@dataclass(frozen=True, slots=True)
class SpoolState:
    """A gateway's spool that leases wait for. ``waits_ms``: how long its oldest entry has waited; None: nothing
    waits.
    """

    id: str
    host: str
    reported_at: datetime
    pending: int
    waits_ms: int | None


def spools() -> list[SpoolState]:
    """Those that are neither closed nor written off, the one that was silent longest first."""
    tick = models.Control.objects.values_list("tick", flat=True).get()
    rows = models.Spool.objects.filter(state="OPEN").order_by("reported_at")
    return [
        SpoolState(
            row.id, row.host, row.reported_at, row.pending,
            None if row.oldest_tick is None else max(tick - row.oldest_tick, 0),
        )
        for row in rows
    ]  # fmt: skip
