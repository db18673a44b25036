"""Writing events beside the facts that they tell of."""

from collections.abc import Iterable

import orjson
from django.db import connection
from django.db.transaction import TransactionManagementError

from apps.core.events import Event


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
    rows = [
        {
            "id": event.id, "type": event.type, "version": event.version, "aggregate_type": event.aggregate_type,
            "aggregate_id": event.aggregate_id, "occurred_at": event.occurred_at,
            "traceparent": event.traceparent, "data": event.data,
        }
        for event in events
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [orjson.dumps(rows).decode()])


# One statement and one parameter: the drainer writes hundreds at a time.
_INSERT = """
INSERT INTO outbox_event (id, type, version, aggregate_type, aggregate_id, occurred_at, traceparent, data)
SELECT * FROM json_to_recordset(%s) AS event (
    id uuid, type text, version smallint, aggregate_type text, aggregate_id uuid, occurred_at timestamptz,
    traceparent text, data jsonb
)
ON CONFLICT DO NOTHING
"""
