"""Writing an entry beside the change that it tells of, and the event for the rest of the company."""

from dataclasses import asdict
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection, models
from django.db.transaction import TransactionManagementError

from apps.audit.domain import State, Subject, difference
from apps.audit.models import Entry
from apps.core.acting import Actor, actor
from apps.core.events import AUDIT_EVENTS, Event
from apps.core.ids import uuid7
from apps.outbox.api import append

VERSION = 1


def state_of(row: models.Model, *names: str) -> State:
    """The named fields of a row, as JSON. Name what is worth knowing; never a secret or its digest."""
    return {name: _plain(getattr(row, row._meta.get_field(name).attname)) for name in names}  # type: ignore[union-attr]  # noqa: SLF001


def stored_state(row: models.Model, *names: str) -> State | None:
    """The same of the row as it is stored, locked until the transaction ends; None where it is not stored yet.

    Asked before a change is written: what ``row`` holds by then is what somebody wants it to be.
    """
    stored = type(row)._default_manager.select_for_update().filter(pk=row.pk).first()  # noqa: SLF001
    return None if stored is None else state_of(stored, *names)


def record(action: str, subject: Subject, before: State | None, after: State | None, *, reason: str = "") -> None:
    """Write that the present actor changed ``subject``, in the transaction of the change.

    A change that changes nothing (equal states) is not recorded. ``reason`` overrides the actor's.

    Raises:
        TransactionManagementError: there is no transaction, so entry and change would not commit together.
    """
    if not connection.in_atomic_block:
        raise TransactionManagementError("An audit entry is written in the transaction of its change; none is open.")
    was, became = difference(before, after)
    if was == became and was is not None:
        return
    who = actor()
    entry = Entry(
        id=uuid7(), at=datetime.now(UTC), actor_kind=who.kind, actor_id=who.id, actor_name=who.name, ip=who.ip,
        request_id=who.request_id, action=action, subject_kind=subject.kind, subject_id=subject.id,
        org_id=subject.org_id, before=was, after=became, reason=reason or who.reason,
    )  # fmt: skip
    entry.save(force_insert=True)
    append(_event(entry, who))


def _event(entry: Entry, who: Actor) -> Event:
    return Event(
        id=entry.id, type=AUDIT_EVENTS, version=VERSION, aggregate_type="audit", occurred_at=entry.at, traceparent="",
        aggregate_id=entry.org_id or entry.id,
        data={
            "action": entry.action, "actor": {**asdict(who)}, "subject": {"kind": entry.subject_kind,
            "id": entry.subject_id}, "org_id": str(entry.org_id) if entry.org_id else None,
            "before": entry.before, "after": entry.after, "reason": entry.reason,
        },
    )  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, UUID | Decimal):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat().replace("+00:00", "Z")
    return value
