"""The console's pages of callers, a module by area."""

from apps.accounts.admin import keys, users

__all__ = ["keys", "users"]
