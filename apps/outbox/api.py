"""The outbox's only door: events written with their fact. The relay sends them later."""

from apps.outbox.selectors import data_of
from apps.outbox.services import append

__all__ = ["append", "data_of"]
