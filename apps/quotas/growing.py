"""Holds that grow while their calls go on: the row-lock backend's."""

from dataclasses import replace
from typing import Any
from uuid import uuid5

from apps.core.errors import AccountSuspended, HoldNotFound, InsufficientQuota
from apps.core.ids import uuid7
from apps.quotas import budgets, funds
from apps.quotas.domain import Hold
from apps.quotas.leases import room_of
from apps.quotas.transactions import ledger_transaction


def extend(hold: Hold, tokens: int) -> None:
    """Set ``tokens`` more aside for a call under way, whose hold is of ``hold.amount`` tokens until then.

    Repeated with the same amount it changes nothing: the hold has grown already.

    Raises:
        AccountSuspended: the account may not spend.
        HoldNotFound: it has ended, or is of another amount.
        InsufficientQuota: less is available.
        InsufficientBudget: the account has enough, the key's budget has not.
        StoreUnavailable: PostgreSQL did not answer; it may have grown or not.
    """
    with ledger_transaction() as cursor:
        now = funds.lock_for(cursor, replace(hold, amount=tokens))
        cursor.execute(_AMOUNT, [hold.account, hold.id])
        amount, *_ = cursor.fetchone() or (None,)
        if amount == hold.amount + tokens:
            return
        if amount != hold.amount:
            raise HoldNotFound(f"hold {hold.id} cannot grow: it has ended, or holds something else")
        if now.suspended:
            raise AccountSuspended(f"account {hold.account} is suspended")
        if (room := room_of(now, hold.quota_cap)) < tokens:
            cap = hold.quota_cap if now.available >= tokens else None
            raise InsufficientQuota(tokens, room, now.held, now.granted, cap=cap)
        cursor.execute(_GROW, _parameters(hold, tokens))
        budgets.hold(cursor, hold.budgets, tokens)


_AMOUNT = "SELECT amount FROM quotas_hold WHERE account_id = %s AND id = %s AND status = 'HELD' FOR UPDATE"

_GROW = """
WITH grown AS (
    UPDATE quotas_hold SET amount = amount + %(tokens)s WHERE account_id = %(account)s AND id = %(hold)s
    RETURNING account_id, request_id
)
INSERT INTO quotas_transfer (account_id, id, code, debit, credit, amount, ref, request_id)
SELECT account_id, %(transfer)s, 'HOLD', 'available', 'held', %(tokens)s, %(ref)s, request_id FROM grown
"""


def _parameters(hold: Hold, tokens: int) -> dict[str, Any]:
    """A hold's first transfer refers to the hold itself, a later one to what it grew to."""
    return {
        "account": hold.account,
        "hold": hold.id,
        "tokens": tokens,
        "transfer": uuid7(),
        "ref": uuid5(hold.id, str(hold.amount + tokens)),
    }
