"""The only door to the audit trail. Who acts is said with ``apps.core.acting``."""

from apps.audit.domain import State, Subject
from apps.audit.models import Entry
from apps.audit.selectors import entries
from apps.audit.services import record, state_of, stored_state

__all__ = ["Entry", "State", "Subject", "entries", "record", "state_of", "stored_state"]
