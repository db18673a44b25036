"""The only door to configuration versions."""

from apps.config.domain import CATALOGUE, CHANNEL, CREDENTIALS, TIERS, change_message, read_change
from apps.config.selectors import versions
from apps.config.services import touch

__all__ = ["CATALOGUE", "CHANNEL", "CREDENTIALS", "TIERS", "change_message", "read_change", "touch", "versions"]
