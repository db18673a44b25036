"""The console's pages of money, a module by area."""

from apps.quotas.admin import ledger, orders

__all__ = ["ledger", "orders"]
