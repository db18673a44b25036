"""Journal entries that could not be booked: seen, booked after all, or let go, by a person."""

import base64
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.backends.utils import CursorWrapper

from apps.audit.api import Subject, record
from apps.core.errors import NotFound
from apps.limiter.api import Entry, decode_entry
from apps.quotas.drainer import book_entries
from apps.quotas.models import DeadEvent
from apps.quotas.transactions import ledger_transaction


@dataclass(frozen=True, slots=True)
class Parked:
    """An entry that waits for a decision."""

    id: UUID
    shard: int
    entry: str
    account: UUID | None
    error: str
    parked_at: datetime


def parked_events() -> list[Parked]:
    """All that wait, oldest first."""
    rows = DeadEvent.objects.filter(state="PARKED").order_by("parked_at")
    return [Parked(row.id, row.shard, row.entry, row.account_id, row.error, row.parked_at) for row in rows]


def replay_dead_event(event_id: UUID, reason: str) -> None:
    """Book a parked entry after all, in one transaction with the decision.

    Raises:
        NotFound: no such entry waits.
        django.db.Error, LookupError, ValueError, TypeError: it cannot be booked still, and stays parked.
        StoreUnavailable
    """
    with ledger_transaction() as cursor:
        _decide(cursor, event_id, "REPLAYED", reason)
        book_entries([_entry(event_id)])


def discard_dead_event(event_id: UUID, reason: str) -> None:
    """Let a parked entry go: what it tells of is not charged.

    Raises:
        NotFound: no such entry waits.
        StoreUnavailable
    """
    with ledger_transaction() as cursor:
        _decide(cursor, event_id, "DISCARDED", reason)


def _decide(cursor: CursorWrapper, event_id: UUID, state: str, reason: str) -> None:
    cursor.execute(_DECIDE, [state, reason, event_id])
    if not cursor.rowcount:
        raise NotFound(f"No dead event {event_id} waits for a decision.")
    action = f"dead_event.{state.lower()}"
    record(action, Subject("dead_event", str(event_id)), {"state": "PARKED"}, {"state": state}, reason=reason)


_DECIDE = """
UPDATE quotas_dead_event SET state = %s, reason = %s, decided_at = clock_timestamp() WHERE id = %s AND state = 'PARKED'
"""


def _entry(event_id: UUID) -> Entry:
    row = DeadEvent.objects.get(id=event_id)
    fields = {name.encode(): base64.b64decode(value) for name, value in row.fields.items()}
    return decode_entry(row.entry.encode(), fields)
