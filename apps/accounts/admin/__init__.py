"""The console's pages of callers, a module by area."""

from apps.accounts.admin import keys, lockouts, users

__all__ = ["keys", "lockouts", "users"]
