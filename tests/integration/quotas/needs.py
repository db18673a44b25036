"""What gateways need, and what the ledger then says of leases."""

import os
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import psycopg

from apps.quotas.api import Need, Part, ensure_lease, ledger_generation
from apps.quotas.models import Account, Lease


def need_of(account: UUID, amount: int, **more: Any) -> Need:
    """A need of a gateway that saw no purse, unless ``more`` says otherwise."""
    row = Account.objects.get(id=account)
    return Need(account, row.payer_kind, row.payer_id, row.provider, amount, generation=ledger_generation(), **more)


def leased(account: UUID, amount: int, **more: Any) -> Part:
    """A part that was given."""
    part = ensure_lease(need_of(account, amount, **more))
    assert isinstance(part, Part)
    return part


def topped_up(part: Part, amount: int, **more: Any) -> Part:
    """Another part for the same, living purse."""
    return leased(part.account, amount, seen_epoch=part.epoch, purse_alive=True, run_id=part.run_id, **more)


def leases_of(account: UUID) -> list[Mapping[str, Any]]:
    """An account's leases, oldest first."""
    return list(Lease.objects.filter(account_id=account).order_by("epoch").values())


def as_owner(statement: str, *parameters: Any) -> None:
    """Change what only time changes, as the owner, who may."""
    with psycopg.connect(os.environ["TEST_DATABASE_OWNER_URL"]) as owner:
        owner.execute(statement, parameters)
