"""The console's pages of money, a module by area."""

from apps.quotas.admin import explain, ledger, orders

__all__ = ["explain", "ledger", "orders"]
