"""The console's pages of money, a module by area."""

from apps.quotas.admin import explain, leases, ledger, orders, upkeep

__all__ = ["explain", "leases", "ledger", "orders", "upkeep"]
