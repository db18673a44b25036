"""Whether the ledger adds up: every number against what it is made of."""

from uuid import UUID

from django.db import connection

from apps.quotas import domain


def check_identities(account: UUID | None = None) -> list[domain.Difference]:
    """Every number that its evidence does not add up to; of one account or of all. Empty is right.

    Balances against transfers; what is held against open holds, what is leased against leases, what lots have left
    against what is out and available; of all accounts, budgets against their holds and leases, too.

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
UNION ALL
SELECT account.id, 'leased (leases)', account.leased, coalesce(lent.amount, 0)::bigint
FROM quotas_account AS account
LEFT JOIN (
    SELECT account_id, sum(granted - settled - returned) AS amount FROM quotas_lease WHERE state <> 'CLOSED'
    GROUP BY account_id
) AS lent ON lent.account_id = account.id
WHERE (%(account)s::uuid IS NULL OR account.id = %(account)s) AND account.leased <> coalesce(lent.amount, 0)
UNION ALL
SELECT account.id, 'lots', account.available + account.leased + account.held, coalesce(lots.amount, 0)::bigint
FROM quotas_account AS account
LEFT JOIN (
    SELECT account_id, sum(remaining) AS amount FROM quotas_lot GROUP BY account_id
) AS lots ON lots.account_id = account.id
WHERE (%(account)s::uuid IS NULL OR account.id = %(account)s)
      AND account.available + account.leased + account.held <> coalesce(lots.amount, 0)
UNION ALL
SELECT lease.account_id, 'lease ' || lease.epoch, lease.granted, coalesce(parts.amount, 0)::bigint
FROM quotas_lease AS lease
LEFT JOIN (
    SELECT account_id, epoch, sum(tokens) AS amount FROM quotas_lease_part GROUP BY account_id, epoch
) AS parts ON parts.account_id = lease.account_id AND parts.epoch = lease.epoch
WHERE (%(account)s::uuid IS NULL OR lease.account_id = %(account)s) AND lease.granted <> coalesce(parts.amount, 0)
UNION ALL
SELECT NULL, 'budget ' || budget.id || ' (held)', budget.held, coalesce(holds.amount, 0)::bigint
FROM quotas_budget AS budget
LEFT JOIN (
    SELECT name, sum(amount) AS amount FROM quotas_hold, unnest(budgets) AS name WHERE status = 'HELD' GROUP BY name
) AS holds ON holds.name = budget.id
WHERE %(account)s::uuid IS NULL AND budget.held <> coalesce(holds.amount, 0)
UNION ALL
SELECT NULL, 'budget ' || budget.id || ' (leased)', budget.leased, coalesce(lent.amount, 0)::bigint
FROM quotas_budget AS budget
LEFT JOIN (
    SELECT budget_id, sum(granted - settled - returned) AS amount FROM quotas_budget_lease GROUP BY budget_id
) AS lent ON lent.budget_id = budget.id
WHERE %(account)s::uuid IS NULL AND budget.leased <> coalesce(lent.amount, 0)
ORDER BY 1, 2
"""
