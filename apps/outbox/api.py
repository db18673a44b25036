"""The outbox's only door: events written with their fact. The relay sends them later."""

from apps.outbox.services import append, append_all

__all__ = ["append", "append_all"]
