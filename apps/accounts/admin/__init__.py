"""The console's pages of callers, a module by area."""

from apps.accounts.admin import lockouts, users
from apps.accounts.oauth import console as clients

__all__ = ["clients", "lockouts", "users"]
