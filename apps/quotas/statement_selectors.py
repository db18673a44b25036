"""Reads of an account's movements, newest first, by the index ``quotas_transfer_statement`` (account, moment)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from apps.quotas.statement import COLUMNS, Balances, Movement


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: its last transfer, and the balances before that."""

    at: datetime
    id: UUID
    before: Balances


@dataclass(frozen=True, slots=True)
class Closing:
    """The balances after everything that happened up to ``at``; None: nothing ever did."""

    at: datetime | None
    balances: Balances


def closing_at(account: UUID, at: datetime | None = None) -> Closing | None:
    """The balances at the end of the moment ``at`` (None: of the last transfer), or None where there is no account.

    One statement, so that the account and its transfers are seen at one moment; what is written after it has a later
    time, because an account's transfers are written under its lock. It reads as many transfers as came after ``at``.
    """
    with connection.cursor() as cursor:
        cursor.execute(_CLOSING, {"account": account, "at": at})
        row = cursor.fetchone()
    return Closing(row[0], Balances(*(int(value) for value in row[1:]))) if row else None


# What came after is taken back: a column's growth is what it got less what it gave. The issuer's gifts are `granted`.
_GROWTH = ", ".join(
    f"coalesce(sum(amount * ((credit = '{column}')::int - (debit = '{column}')::int)), 0) AS {column}"
    for column in COLUMNS
    if column != "granted"
)
_CLOSING = f"""
SELECT coalesce(%(at)s::timestamptz, (SELECT max(at) FROM quotas_transfer WHERE account_id = account.id)),
       account.granted - later.granted, {", ".join(f"account.{name} - later.{name}" for name in COLUMNS[1:])}
FROM quotas_account AS account CROSS JOIN LATERAL (
    SELECT coalesce(sum(amount * ((debit = 'issuer')::int - (credit = 'issuer')::int)), 0) AS granted, {_GROWTH}
    FROM quotas_transfer WHERE account_id = account.id AND at > %(at)s::timestamptz
) AS later
WHERE account.id = %(account)s
"""  # noqa: S608 (made of the columns' names above)


def movements(
    account: UUID, *, since: datetime | None, until: datetime | None, after: Place | None, limit: int
) -> list[Movement]:
    """At most ``limit`` movements within ``since`` … ``until`` (both included), beginning after a page's last one."""
    query: dict[str, Any] = {
        "account": account,
        "since": since,
        "until": after.at if after else until,
        "id": after.id if after else None,
        "limit": limit,
    }
    with connection.cursor() as cursor:
        cursor.execute(_MOVEMENTS, query)
        return [Movement(*row) for row in cursor.fetchall()]


# The order is the index's, down to transfers of one microsecond.
_MOVEMENTS = """
SELECT id, at, code, debit, credit, amount, ref, request_id, reason FROM quotas_transfer
WHERE account_id = %(account)s
  AND at >= coalesce(%(since)s::timestamptz, '-infinity') AND at <= coalesce(%(until)s::timestamptz, 'infinity')
  AND (%(id)s::uuid IS NULL OR at < %(until)s::timestamptz OR id > %(id)s::uuid)
ORDER BY at DESC, id LIMIT %(limit)s
"""
