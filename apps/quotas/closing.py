"""The ends of a lease: into doubt, and out of it. Each is one transaction, and without effect when it was done."""

from uuid import UUID

from apps.core.ids import uuid7
from apps.quotas.batch import close_completed, release_budgets
from apps.quotas.leases import Lease, Mark, lease_id
from apps.quotas.transactions import ledger_transaction


def doubt_lease(account: UUID, epoch: int, why: str) -> bool:
    """Put an OPEN lease in doubt; if there is nothing left to wait for, it is closed at once. Whether it was OPEN."""
    with ledger_transaction() as cursor:
        cursor.execute("SELECT FROM quotas_account WHERE id = %s FOR UPDATE", [account])
        cursor.execute(_DOUBT, [why, account, epoch])
        changed = bool(cursor.rowcount)
        close_completed(cursor, [(account, epoch)])
        return changed


_DOUBT = """
UPDATE quotas_lease SET state = 'DOUBT', doubt = %s, doubted_at = clock_timestamp()
WHERE account_id = %s AND epoch = %s AND state = 'OPEN'
"""


def watch_journal(lease: Lease, mark: Mark) -> None:
    """Remember what must be drained before a lease may be closed."""
    with ledger_transaction() as cursor:
        cursor.execute(
            "UPDATE quotas_lease SET journal = %s, entry = %s WHERE account_id = %s AND epoch = %s AND state = 'DOUBT'",
            [mark.journal, mark.last, lease.account, lease.epoch],
        )


def close_lease(lease: Lease) -> bool:
    """Give what a lease in doubt has left back to its account. Whether it was closed: not while closing is frozen."""
    with ledger_transaction() as cursor:
        cursor.execute("SELECT FROM quotas_account WHERE id = %s FOR UPDATE", [lease.account])
        cursor.execute(_LEFT, [lease.account, lease.epoch, lease.expires_tick])
        row = cursor.fetchone()
        if row is None:
            return False
        if row[0]:
            ref = lease_id(lease.account, lease.epoch)
            cursor.execute(_GIVE_BACK, [lease.account, uuid7(), row[0], ref])
        cursor.execute(_CLOSE, [lease.account, lease.epoch])
        release_budgets(cursor, [(lease.account, lease.epoch)])
        return True


# A lease whose time was prolonged meanwhile (a new generation) is not the one that was looked at.
_LEFT = """
SELECT granted - settled - returned FROM quotas_lease, quotas_control
WHERE account_id = %s AND epoch = %s AND expires_tick = %s AND state = 'DOUBT' AND NOT closing_frozen
FOR UPDATE OF quotas_lease
"""

_GIVE_BACK = """
INSERT INTO quotas_transfer (account_id, id, code, debit, credit, amount, ref)
VALUES (%s, %s, 'CLOSE', 'leased', 'available', %s, %s)
"""

_CLOSE = """
UPDATE quotas_lease SET state = 'CLOSED', returned = granted - settled, closed_at = clock_timestamp()
WHERE account_id = %s AND epoch = %s
"""
