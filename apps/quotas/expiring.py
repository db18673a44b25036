"""Lots whose time is over: what is left of them leaves the account. Passes of a loop, an account at a time."""

from uuid import UUID

from apps.core.errors import StoreUnavailable
from apps.limiter.api import Limiter
from apps.quotas import lots
from apps.quotas.recalls import recall
from apps.quotas.transactions import ledger_transaction

BATCH = 500
QUIET_SECONDS = 60
"""A purse that nobody has used for so long is asked for what expired lots still have out on it."""


def expire_due_lots(limiter: Limiter) -> int:
    """Expire what lots that are over have left; returns the accounts that were changed.

    Tokens out on a lease stay in their lot while the lease is used, because spending takes from expired lots first.

    Raises:
        StoreUnavailable: PostgreSQL did not answer, or Valkey when tokens were recalled; what was expired stays so.
    """
    failed: StoreUnavailable | None = None
    done = 0
    for account, left, is_quiet in _due():
        with ledger_transaction() as cursor:
            cursor.execute("SELECT FROM quotas_account WHERE id = %s FOR UPDATE", [account])
            expired = lots.expire_lots(cursor, account)
        done += bool(expired)
        if left > expired and is_quiet:
            try:
                recall(account, left - expired, limiter=limiter)
            except StoreUnavailable as error:
                failed = error
    if failed is not None:
        raise failed
    return done


def _due() -> list[tuple[UUID, int, bool]]:
    with ledger_transaction() as cursor:
        cursor.execute(_DUE, [QUIET_SECONDS, BATCH])
        return list(cursor.fetchall())


_DUE = """
SELECT lot.account_id, sum(lot.remaining)::bigint, NOT EXISTS (
    SELECT FROM quotas_lease AS lease
    WHERE lease.account_id = lot.account_id AND lease.state = 'OPEN'
          AND lease.used_at BETWEEN clock_timestamp() - %s * interval '1 second' AND clock_timestamp()
)
FROM quotas_lot AS lot WHERE lot.open AND lot.expires_at <= statement_timestamp()
GROUP BY lot.account_id ORDER BY min(lot.expires_at) LIMIT %s
"""
