"""The only door to the audit trail. Who acts is said with ``apps.core.acting``."""

from apps.audit.domain import State, Subject
from apps.audit.services import record, state_of

__all__ = ["State", "Subject", "record", "state_of"]
