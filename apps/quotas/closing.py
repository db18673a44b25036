"""The ends of leases: into doubt, and out of it. Each is one transaction, and without effect when it was done."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from django.db.backends.utils import CursorWrapper

from apps.core.ids import uuid7
from apps.quotas.batch import LeaseKey, close_completed, release_budgets
from apps.quotas.leases import Lease, Mark, lease_id
from apps.quotas.transactions import ledger_transaction


def doubt_leases(keys: Collection[LeaseKey], why: str) -> set[LeaseKey]:
    """Put OPEN leases in doubt, and close those at once that have nothing left to wait for. Which of them were OPEN."""
    if not keys:
        return set()
    accounts, epochs = zip(*keys, strict=True)
    with ledger_transaction() as cursor:
        _lock_accounts(cursor, accounts)
        cursor.execute(_DOUBT, {"why": why, "accounts": list(accounts), "epochs": list(epochs)})
        doubted = set(cursor.fetchall())
        close_completed(cursor, keys)
        return doubted


_DOUBT = """
UPDATE quotas_lease AS lease SET state = 'DOUBT', doubt = %(why)s, doubted_at = clock_timestamp()
FROM unnest(%(accounts)s::uuid[], %(epochs)s::bigint[]) AS named (account_id, epoch)
WHERE lease.account_id = named.account_id AND lease.epoch = named.epoch AND lease.state = 'OPEN'
RETURNING lease.account_id, lease.epoch
"""


def watch_journal(leases: Sequence[Lease], mark: Mark) -> None:
    """Remember what must be drained before leases of a shard may be closed."""
    if not leases:
        return
    with ledger_transaction() as cursor:
        cursor.execute(_WATCH, _named(leases) | {"journal": mark.journal, "entry": mark.last})


_WATCH = """
UPDATE quotas_lease AS lease SET journal = %(journal)s, entry = %(entry)s
FROM unnest(%(accounts)s::uuid[], %(epochs)s::bigint[]) AS named (account_id, epoch)
WHERE lease.account_id = named.account_id AND lease.epoch = named.epoch AND lease.state = 'DOUBT'
"""


def close_leases(leases: Sequence[Lease]) -> int:
    """Give what leases in doubt have left back to their accounts. How many: none while closing is frozen."""
    if not leases:
        return 0
    with ledger_transaction() as cursor:
        _lock_accounts(cursor, [lease.account for lease in leases])
        cursor.execute(_LEFT, _named(leases) | {"ticks": [lease.expires_tick for lease in leases]})
        left = cursor.fetchall()
        _give_back(cursor, [row for row in left if row[2]])
        closed = [(account, epoch) for account, epoch, _ in left]
        cursor.execute(_CLOSE, {"accounts": [key[0] for key in closed], "epochs": [key[1] for key in closed]})
        release_budgets(cursor, closed)
        return len(closed)


# A lease whose time was prolonged meanwhile (a new generation) is not the one that was looked at.
_LEFT = """
SELECT lease.account_id, lease.epoch, lease.granted - lease.settled - lease.returned
FROM quotas_control, quotas_lease AS lease
JOIN unnest(%(accounts)s::uuid[], %(epochs)s::bigint[], %(ticks)s::bigint[]) AS named (account_id, epoch, tick)
     ON lease.account_id = named.account_id AND lease.epoch = named.epoch AND lease.expires_tick = named.tick
WHERE lease.state = 'DOUBT' AND NOT closing_frozen
ORDER BY lease.account_id, lease.epoch FOR UPDATE OF lease
"""

_CLOSE = """
UPDATE quotas_lease AS lease SET state = 'CLOSED', returned = granted - settled, closed_at = clock_timestamp()
FROM unnest(%(accounts)s::uuid[], %(epochs)s::bigint[]) AS named (account_id, epoch)
WHERE lease.account_id = named.account_id AND lease.epoch = named.epoch
"""


def _give_back(cursor: CursorWrapper, left: Sequence[tuple[UUID, int, int]]) -> None:
    if left:
        accounts, epochs, amounts = zip(*left, strict=True)
        refs = [lease_id(account, epoch) for account, epoch in zip(accounts, epochs, strict=True)]
        cursor.execute(_GIVE_BACK, [list(accounts), [uuid7() for _ in left], list(amounts), refs])


_GIVE_BACK = """
INSERT INTO quotas_transfer (account_id, id, code, debit, credit, amount, ref)
SELECT given.account, given.id, 'CLOSE', 'leased', 'available', given.amount, given.ref
FROM unnest(%s::uuid[], %s::uuid[], %s::bigint[], %s::uuid[]) AS given (account, id, amount, ref)
"""


def _lock_accounts(cursor: CursorWrapper, accounts: Collection[UUID]) -> None:
    """In the order in which the drainer locks them, so that nobody waits in a circle."""
    cursor.execute("SELECT FROM quotas_account WHERE id = ANY(%s) ORDER BY id FOR UPDATE", [list(accounts)])


def _named(leases: Sequence[Lease]) -> dict[str, Any]:
    return {"accounts": [lease.account for lease in leases], "epochs": [lease.epoch for lease in leases]}
