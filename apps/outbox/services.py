"""Writing events beside the facts that they tell of."""

from collections.abc import Iterable

from django.db import connection
from django.db.transaction import TransactionManagementError

from apps.core.events import Event
from apps.outbox.models import OutboxEvent


def append(event: Event) -> None:
    """Write an event in the caller's transaction; see :func:`append_all`."""
    append_all([event])


def append_all(events: Iterable[Event]) -> None:
    """Write events, in their order, in the caller's transaction: they exist if and only if that commits.

    An event whose id is already there is left as it is, because a retried operation derives the same id for the same
    fact and must not fail on its own success.

    Raises:
        TransactionManagementError: no transaction is open, so the event could outlive or precede its fact.
    """
    if not connection.in_atomic_block:
        raise TransactionManagementError("An event is written in the transaction of its fact, and none is open.")
    OutboxEvent.objects.bulk_create(map(_row, events), ignore_conflicts=True)


def _row(event: Event) -> OutboxEvent:
    return OutboxEvent(
        id=event.id,
        type=event.type,
        version=event.version,
        aggregate_type=event.aggregate_type,
        aggregate_id=event.aggregate_id,
        occurred_at=event.occurred_at,
        traceparent=event.traceparent,
        data=event.data,
    )
