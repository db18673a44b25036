"""Lots: grants that expire, and the allowances that come with every window. Under the account's lock, which is
taken.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db.backends.utils import CursorWrapper

from apps.core.ids import uuid7
from apps.quotas.allowances import allowance_id, reset_time, window_start
from apps.quotas.domain import Allowance


def add_lot(cursor: CursorWrapper, account: UUID, lot_id: UUID, *, kind: str, expires_at: datetime | None) -> None:
    """Make a grant's lot, empty: its GRANT transfer fills it. One that is there is left as it is."""
    cursor.execute(_ADD, [account, lot_id, kind, expires_at])


_ADD = """
INSERT INTO quotas_lot (account_id, id, kind, expires_at) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING
"""


def give_allowances(
    cursor: CursorWrapper, account: UUID, provider: str, tier: str, allowances: Sequence[Allowance], now: datetime
) -> bool:
    """Give an account what its tier allows it in the windows that ``now`` lies in, once. Whether there was any."""
    given = False
    for of_provider, window, tokens in allowances:
        if of_provider == provider and tokens > 0:
            given |= _give(cursor, account, tier, window, tokens, now)
    return given


def _give(cursor: CursorWrapper, account: UUID, tier: str, window: str, tokens: int, now: datetime) -> bool:
    start = window_start(window, now)
    grant_id = allowance_id(account, tier, window, start)
    cursor.execute(_IS_GIVEN, [account, grant_id])
    if cursor.fetchone():
        return False
    add_lot(cursor, account, grant_id, kind="allowance", expires_at=reset_time(window, now))
    reason = f"allowance of the {window} from {start.date().isoformat()}"
    cursor.execute(_GRANT, [account, uuid7(), tokens, grant_id, reason, f"tier:{tier}"])
    return True


_IS_GIVEN = "SELECT FROM quotas_lot WHERE account_id = %s AND id = %s"

_GRANT = """
INSERT INTO quotas_transfer (account_id, id, code, debit, credit, amount, ref, reason, actor)
VALUES (%s, %s, 'GRANT', 'issuer', 'available', %s, %s, %s, %s)
ON CONFLICT (account_id, ref, code) DO NOTHING
"""


def expire_lots(cursor: CursorWrapper, account: UUID) -> int:
    """Take what expired lots have left out of what is available; returns the tokens.

    What is out on leases and holds may still be spent, and then comes from these lots first: so much stays in them
    until it is spent or back.
    """
    cursor.execute(_EXPIRE, {"account": account, "id": uuid7(), "ref": uuid7()})
    row = cursor.fetchone()
    return int(row[0]) if row else 0


_EXPIRE = """
INSERT INTO quotas_transfer (account_id, id, code, debit, credit, amount, ref, reason)
SELECT account.id, %(id)s, 'EXPIRE', 'available', 'expired', over.tokens, %(ref)s, 'expired'
FROM quotas_account AS account, LATERAL (
    SELECT least(account.available, sum(lot.remaining) - account.leased - account.held)::bigint AS tokens
    FROM quotas_lot AS lot
    WHERE lot.account_id = account.id AND lot.open AND lot.expires_at <= clock_timestamp()
) AS over
WHERE account.id = %(account)s AND over.tokens > 0
RETURNING amount
"""
