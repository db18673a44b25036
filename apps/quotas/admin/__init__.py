"""The console's pages of money, a module by area."""

from apps.quotas.admin import leases, ledger, orders, upkeep

__all__ = ["leases", "ledger", "orders", "upkeep"]
