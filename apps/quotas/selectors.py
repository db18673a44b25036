"""The ledger's reads."""

from dataclasses import fields
from uuid import UUID

from django.db import connection

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


def check_identities(account: UUID | None = None) -> list[domain.Difference]:
    """Every balance that its transfers, or its open holds, do not add up to; of one account or of all. Empty is right.

    One statement, so that it sees one moment of the ledger also while calls go on. Over all accounts it reads the whole
    ledger: for tests, reconciliation and operators.
    """
    with connection.cursor() as cursor:
        cursor.execute(_IDENTITIES, {"account": account})
        return [domain.Difference(*row) for row in cursor.fetchall()]


_IDENTITIES = """
WITH movement AS (
    SELECT account_id, CASE credit WHEN 'issuer' THEN 'granted' ELSE credit END AS balance, amount
    FROM quotas_transfer WHERE %(account)s::uuid IS NULL OR account_id = %(account)s
    UNION ALL
    SELECT account_id, CASE debit WHEN 'issuer' THEN 'granted' ELSE debit END,
           CASE debit WHEN 'issuer' THEN amount ELSE -amount END
    FROM quotas_transfer WHERE %(account)s::uuid IS NULL OR account_id = %(account)s
), moved AS (
    SELECT account_id, balance, sum(amount) AS evidence FROM movement GROUP BY account_id, balance
), kept AS (
    SELECT account.id AS account_id, column_of.balance, column_of.value
    FROM quotas_account AS account CROSS JOIN LATERAL (VALUES
        ('granted', granted), ('pending', pending), ('available', available), ('leased', leased), ('held', held),
        ('spent', spent), ('expired', expired), ('refunded', refunded), ('absorbed', absorbed)
    ) AS column_of (balance, value)
    WHERE %(account)s::uuid IS NULL OR account.id = %(account)s
)
SELECT account_id, balance, value, coalesce(evidence, 0)::bigint
FROM kept LEFT JOIN moved USING (account_id, balance)
WHERE value <> coalesce(evidence, 0)
UNION ALL
SELECT account.id, 'held (holds)', account.held, coalesce(open.amount, 0)::bigint
FROM quotas_account AS account
LEFT JOIN (
    SELECT account_id, sum(amount) AS amount FROM quotas_hold WHERE status = 'HELD' GROUP BY account_id
) AS open ON open.account_id = account.id
WHERE (%(account)s::uuid IS NULL OR account.id = %(account)s) AND account.held <> coalesce(open.amount, 0)
ORDER BY 1, 2
"""
