"""The only door to configuration versions."""

from apps.config.domain import CATALOGUE, CHANNEL, CREDENTIALS, LEDGER, SIGNING_KEYS, TIERS, change_message, read_change
from apps.config.selectors import changes, versions
from apps.config.services import touch

__all__ = [
    "CATALOGUE",
    "CHANNEL",
    "CREDENTIALS",
    "LEDGER",
    "SIGNING_KEYS",
    "TIERS",
    "change_message",
    "changes",
    "read_change",
    "touch",
    "versions",
]
