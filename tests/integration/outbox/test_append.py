"""An event exists if and only if its fact does."""

import os
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest
from django.db import transaction
from django.db.transaction import TransactionManagementError

from apps.core.events import TOKEN_USAGE, Event
from apps.outbox.api import append
from apps.outbox.models import OutboxEvent


def an_event() -> Event:
    return Event(
        id=uuid4(),
        type=TOKEN_USAGE,
        version=1,
        aggregate_type="account",
        aggregate_id=uuid4(),
        occurred_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        data={"charged": 12, "org_id": None, "model": "gpt-4o-mini", "text": "naïve ✓"},
    )


@pytest.mark.usefixtures("committed")
def test_an_event_outside_a_transaction_is_refused() -> None:
    event = an_event()

    with pytest.raises(TransactionManagementError):
        append(event)

    assert not OutboxEvent.objects.filter(id=event.id).exists()


@pytest.mark.usefixtures("committed")
def test_an_event_is_there_when_its_transaction_has_committed_and_not_before() -> None:
    event = an_event()

    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as other:
        with transaction.atomic():
            append(event)
            assert _seen_by(other, event) == 0
        assert _seen_by(other, event) == 1


@pytest.mark.usefixtures("committed")
def test_an_event_goes_with_a_transaction_that_fails() -> None:
    event = an_event()

    with pytest.raises(ZeroDivisionError):
        _append_and_fail(event)

    assert not OutboxEvent.objects.filter(id=event.id).exists()


@transaction.atomic
def _append_and_fail(event: Event) -> None:
    append(event)
    raise ZeroDivisionError


@pytest.mark.django_db
def test_an_event_is_kept_as_it_was_given() -> None:
    event = an_event()

    append(event)

    row = OutboxEvent.objects.get(id=event.id)
    kept = Event(
        row.id, row.type, row.version, row.aggregate_type, row.aggregate_id, row.occurred_at, row.traceparent, row.data
    )
    assert kept == event
    assert row.created_at is not None
    assert row.sent_at is None


@pytest.mark.django_db
def test_an_event_appended_again_stays_as_it_was() -> None:
    event = an_event()

    append(event)
    append(replace(event, data={"charged": 99}))

    assert OutboxEvent.objects.get(id=event.id).data == event.data


def _seen_by(other: psycopg.Connection, event: Event) -> int:
    row = other.execute("SELECT count(*) FROM outbox_event WHERE id = %s", [event.id]).fetchone()
    assert row is not None
    return int(row[0])
