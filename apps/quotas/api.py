"""The ledger's only door: leases, holds taken, renewed, settled and expired; grants; balances; the journal's booking.

All functions are synchronous and use the calling thread's connection.
"""

from apps.quotas.allowances import allowance_id, reset_time, window_start
from apps.quotas.auditing import audit_account, audit_ledger, check_purses
from apps.quotas.booking import Booking, BudgetBooking, Ended, Posting, book, return_ref
from apps.quotas.control import (
    bump_generation,
    freeze_closing,
    ledger_generation,
    ledger_id,
    ledger_state,
    thaw_closing,
    tick,
)
from apps.quotas.dead_events import Parked, discard_dead_event, parked_events, replay_dead_event
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
from apps.quotas.drainer import Drainer, book_entries
from apps.quotas.expiring import expire_due_lots
from apps.quotas.giving import give_due_allowances
from apps.quotas.growing import extend
from apps.quotas.identities import check_identities
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
from apps.quotas.rebuilding import LeaseStanding, purses_of_leases, start_over
from apps.quotas.recalls import recall
from apps.quotas.seals import check_seals, seal_days
from apps.quotas.selectors import SpoolState, balance, balances_of, budget_of, spools
from apps.quotas.services import expire_holds, grant, renew, reopen, reserve, settle, suspend
from apps.quotas.spools import Stamp, close_spool, register_spool, report_spool, write_off_spool
from apps.quotas.store import quota_store
from apps.quotas.sweeping import sweep_holds
from apps.quotas.upkeep import Upkeep
from apps.quotas.usage import ending_to_bytes, facts_from_bytes, facts_to_bytes

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
    "Drainer",
    "Ended",
    "Funds",
    "Hold",
    "Lease",
    "LeaseStanding",
    "LeaseState",
    "LookAgain",
    "Mark",
    "Need",
    "Parked",
    "Part",
    "Posting",
    "Settled",
    "Settlement",
    "SpoolReport",
    "SpoolState",
    "Stamp",
    "Upkeep",
    "account_id",
    "allowance_id",
    "audit_account",
    "audit_ledger",
    "balance",
    "balances_of",
    "book",
    "book_entries",
    "budget_of",
    "bump_generation",
    "check_identities",
    "check_purses",
    "check_seals",
    "close_spool",
    "decide_lease",
    "discard_dead_event",
    "ending_to_bytes",
    "ensure_lease",
    "expire_due_lots",
    "expire_holds",
    "expire_orders",
    "extend",
    "facts_from_bytes",
    "facts_to_bytes",
    "freeze_closing",
    "give_due_allowances",
    "grant",
    "lease_id",
    "ledger_generation",
    "ledger_id",
    "ledger_state",
    "may_close",
    "order",
    "parked_events",
    "part_size",
    "passes_in",
    "purses_of_leases",
    "pursue_orders",
    "quota_store",
    "recall",
    "register_spool",
    "renew",
    "reopen",
    "replay_dead_event",
    "report_spool",
    "reserve",
    "reset_time",
    "return_ref",
    "revoke",
    "seal_days",
    "settle",
    "spools",
    "start_over",
    "suspend",
    "sweep_holds",
    "thaw_closing",
    "tick",
    "window_start",
    "write_off_spool",
]
