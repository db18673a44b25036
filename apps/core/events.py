"""The envelope of every event that leaves the product, and the contracts of its data.

An event may gain optional fields; a change of meaning is a new ``version``. Consumers drop duplicates by ``id``.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

TOKEN_USAGE = "token-usage"  # noqa: S105 (the name of a topic)
AUDIT_EVENTS = "audit-events"


@dataclass(frozen=True, slots=True)
class Event:
    """A fact for the rest of the company. ``aggregate_id`` keys the topic: events of one aggregate keep their order."""

    id: UUID
    type: str
    version: int
    aggregate_type: str
    aggregate_id: UUID
    occurred_at: datetime
    traceparent: str
    data: dict[str, Any]
