"""The ledger's tables as Django reads them."""

from apps.quotas.models.explained import ExplainedRequest
from apps.quotas.models.leases import Control, DeadEvent, Lease, LeasePart, Lot, Spool
from apps.quotas.models.ledger import Account, Budget, Hold, Transfer
from apps.quotas.models.orders import Order

__all__ = [
    "Account",
    "Budget",
    "Control",
    "DeadEvent",
    "ExplainedRequest",
    "Hold",
    "Lease",
    "LeasePart",
    "Lot",
    "Order",
    "Spool",
    "Transfer",
]
