"""The ledger's only door: holds taken, renewed, settled and expired; grants; balances.

All functions are synchronous and use the calling thread's connection.
"""

from apps.quotas.domain import (
    Account,
    Budget,
    CallFacts,
    Difference,
    Hold,
    Settled,
    Settlement,
    account_id,
)
from apps.quotas.orders import expire as expire_orders
from apps.quotas.orders import order, revoke
from apps.quotas.orders import pursue as pursue_orders
from apps.quotas.selectors import balance, balances_of, budget_of, check_identities
from apps.quotas.services import expire_holds, grant, renew, reopen, reserve, settle, suspend

__all__ = [
    "Account",
    "Budget",
    "CallFacts",
    "Difference",
    "Hold",
    "Settled",
    "Settlement",
    "account_id",
    "balance",
    "balances_of",
    "budget_of",
    "check_identities",
    "expire_holds",
    "expire_orders",
    "grant",
    "order",
    "pursue_orders",
    "renew",
    "reopen",
    "reserve",
    "revoke",
    "settle",
    "suspend",
]
