"""Allowances of windows that have begun, for accounts in use: a call brings its own, this is for who looks before."""

from uuid import UUID

from apps.accounts.api import roles_of
from apps.orgs.api import tier_of, tiers
from apps.quotas import funds
from apps.quotas.transactions import ledger_transaction

IN_USE_DAYS = 7
REMEMBERED_DAYS = 40
"""An allowance that was given longer ago does not come back by itself: the next call brings it."""

BATCH = 2000


def give_due_allowances() -> int:
    """Give accounts in use, whose last allowance is over, what their tier allows them now; returns the accounts.

    Raises:
        StoreUnavailable: PostgreSQL did not answer; what was given stays.
    """
    all_tiers = tiers()
    due = _due()
    for account, payer_kind, payer_id, provider in due:
        roles = roles_of(payer_id) if payer_kind == "user" else ()
        tier = all_tiers[tier_of(payer_kind, payer_id, roles)]
        owner = funds.Owner(account, payer_kind, payer_id, provider, tier.name, tier.allowances)
        with ledger_transaction() as cursor:
            funds.lock_allowed(cursor, owner)
    return len(due)


def _due() -> list[tuple[UUID, str, UUID, str]]:
    with ledger_transaction() as cursor:
        cursor.execute(_DUE, {"in_use": IN_USE_DAYS, "remembered": REMEMBERED_DAYS, "batch": BATCH})
        return list(cursor.fetchall())


_DUE = """
SELECT account.id, account.payer_kind, account.payer_id, account.provider
FROM quotas_account AS account
JOIN (
    SELECT account_id, max(expires_at) AS ends_at FROM quotas_lot
    WHERE kind = 'allowance' AND made_at > now() - %(remembered)s * interval '1 day' GROUP BY account_id
) AS allowed ON allowed.account_id = account.id AND allowed.ends_at <= now()
WHERE account.spent_day >= (now() AT TIME ZONE 'UTC')::date - %(in_use)s
ORDER BY allowed.ends_at LIMIT %(batch)s
"""
