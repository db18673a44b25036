"""The ledger's only door: leases, holds taken, renewed, settled and expired; grants; balances; the journal's booking.

All functions are synchronous and use the calling thread's connection.
"""

from apps.quotas.allowances import allowance_id, reset_time, window_start
from apps.quotas.booking import Booking, BudgetBooking, Ended, Posting, book, return_ref
from apps.quotas.control import bump_generation, freeze_closing, ledger_generation, ledger_state, thaw_closing, tick
from apps.quotas.domain import (
    Account,
    Allowance,
    Budget,
    CallFacts,
    Difference,
    Hold,
    Settled,
    Settlement,
    account_id,
)
from apps.quotas.leases import (
    GRANT_MS,
    BudgetUse,
    Decision,
    Funds,
    Lease,
    LeaseState,
    LookAgain,
    Mark,
    Need,
    Part,
    SpoolReport,
    decide_lease,
    lease_id,
    may_close,
    part_size,
)
from apps.quotas.leasing import ensure_lease, passes_in
from apps.quotas.orders import expire as expire_orders
from apps.quotas.orders import order, revoke
from apps.quotas.orders import pursue as pursue_orders
from apps.quotas.selectors import balance, balances_of, budget_of, check_identities
from apps.quotas.services import expire_holds, grant, renew, reopen, reserve, settle, suspend
from apps.quotas.spools import Stamp, close_spool, register_spool, report_spool, write_off_spool

__all__ = [
    "GRANT_MS",
    "Account",
    "Allowance",
    "Booking",
    "Budget",
    "BudgetBooking",
    "BudgetUse",
    "CallFacts",
    "Decision",
    "Difference",
    "Ended",
    "Funds",
    "Hold",
    "Lease",
    "LeaseState",
    "LookAgain",
    "Mark",
    "Need",
    "Part",
    "Posting",
    "Settled",
    "Settlement",
    "SpoolReport",
    "Stamp",
    "account_id",
    "allowance_id",
    "balance",
    "balances_of",
    "book",
    "budget_of",
    "bump_generation",
    "check_identities",
    "close_spool",
    "decide_lease",
    "ensure_lease",
    "expire_holds",
    "expire_orders",
    "freeze_closing",
    "grant",
    "lease_id",
    "ledger_generation",
    "ledger_state",
    "may_close",
    "order",
    "part_size",
    "passes_in",
    "pursue_orders",
    "register_spool",
    "renew",
    "reopen",
    "report_spool",
    "reserve",
    "reset_time",
    "return_ref",
    "revoke",
    "settle",
    "suspend",
    "thaw_closing",
    "tick",
    "window_start",
    "write_off_spool",
]
