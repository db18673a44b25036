"""The console's pages of money, a module by area."""

from apps.quotas.admin import ledger

__all__ = ["ledger"]
