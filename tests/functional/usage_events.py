"""What the ledger says of one call: the usage events that its hold's end, and a late settlement, have written."""

from typing import Any

from apps.outbox.models import OutboxEvent
from tests.functional.payers import eventually


def events_of(request_id: str) -> list[dict[str, Any]]:
    """The usage events of a request, oldest first."""
    return [event.data for event in OutboxEvent.objects.filter(data__request_id=request_id).order_by("occurred_at")]


def booked(request_id: str) -> dict[str, Any]:
    """The one usage event of a request, once it is there."""
    events = eventually(lambda: events_of(request_id))
    assert len(events) == 1, events
    return events[0]
