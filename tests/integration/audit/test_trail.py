"""An entry is written with its change or not at all, says what differs and who did it, and stays as it is."""

import os
from uuid import uuid4

import psycopg
import pytest
from django.db import transaction
from django.db.transaction import TransactionManagementError
from psycopg import errors

from apps.audit.api import Entry, Subject, record, state_of, stored_state
from apps.core.acting import OPERATOR, Actor, acting, because
from apps.outbox.models import OutboxEvent
from apps.providers.models import Provider

ADA = Actor(OPERATOR, id=str(uuid4()), name="ada", ip="192.0.2.7", request_id="req_1")


class Broken(Exception):
    """What a test's transaction fails with."""


def _entries(subject: Subject) -> list[Entry]:
    return list(Entry.objects.filter(subject_id=subject.id))


@pytest.fixture
def subject() -> Subject:
    return Subject("model", str(uuid4()), uuid4())


@pytest.mark.django_db
def test_an_entry_says_who_did_what_from_where_and_why(subject: Subject) -> None:
    with acting(ADA), because("too slow"):
        record("model.changed", subject, {"name": "a", "max_output": 5}, {"name": "a", "max_output": 7})
    (entry,) = _entries(subject)
    assert (entry.action, entry.subject_kind, entry.org_id) == ("model.changed", "model", subject.org_id)
    assert (entry.before, entry.after) == ({"max_output": 5}, {"max_output": 7})
    assert (entry.actor_kind, entry.actor_id, entry.actor_name) == (OPERATOR, ADA.id, "ada")
    assert (entry.ip, entry.request_id, entry.reason) == ("192.0.2.7", "req_1", "too slow")


@pytest.mark.django_db
def test_a_change_that_changes_nothing_leaves_nothing(subject: Subject) -> None:
    record("model.changed", subject, {"name": "a"}, {"name": "a"})
    assert _entries(subject) == []


@pytest.mark.django_db
def test_the_event_tells_the_same_and_has_the_entrys_id(subject: Subject) -> None:
    with acting(ADA):
        record("model.deleted", subject, {"name": "a"}, None, reason="gone")
    (entry,) = _entries(subject)
    event = OutboxEvent.objects.get(id=entry.id)
    assert (event.type, event.aggregate_id, event.occurred_at) == ("audit-events", subject.org_id, entry.at)
    assert event.data["action"] == "model.deleted"
    assert event.data["subject"] == {"kind": "model", "id": subject.id}
    assert (event.data["before"], event.data["after"], event.data["reason"]) == ({"name": "a"}, None, "gone")
    assert (event.data["actor"]["id"], event.data["actor"]["ip"]) == (ADA.id, "192.0.2.7")


@pytest.mark.django_db
def test_the_stored_state_is_what_was_before(subject: Subject) -> None:
    names = ("name", "enabled", "allowed_parameters")
    row = Provider(slug="acme", name="Acme")
    assert stored_state(row, *names) is None
    row.save()
    row.name = "Another"
    assert stored_state(row, *names) == {"name": "Acme", "enabled": True, "allowed_parameters": []}
    assert state_of(row, "name") == {"name": "Another"}


def _fail_after_recording(subject: Subject) -> None:
    with transaction.atomic():
        record("model.changed", subject, None, {"name": "a"})
        assert len(_entries(subject)) == 1
        raise Broken


@pytest.mark.usefixtures("committed")
def test_a_change_that_fails_leaves_neither_entry_nor_event(subject: Subject) -> None:
    events = OutboxEvent.objects.filter(type="audit-events", data__subject__id=subject.id)
    with pytest.raises(Broken):
        _fail_after_recording(subject)
    assert (_entries(subject), events.count()) == ([], 0)


@pytest.mark.usefixtures("committed")
def test_without_a_transaction_nothing_is_recorded(subject: Subject) -> None:
    with pytest.raises(TransactionManagementError):
        record("model.changed", subject, None, {"name": "a"})
    assert _entries(subject) == []


REWRITING = [
    "UPDATE audit_entry SET reason = 'other' WHERE id = %(id)s",
    "UPDATE audit_entry SET reason = 'other' WHERE false",
    "DELETE FROM audit_entry WHERE id = %(id)s",
    "TRUNCATE audit_entry",
    "INSERT INTO audit_entry SELECT * FROM audit_entry WHERE id = %(id)s ON CONFLICT (id) DO UPDATE SET reason = 'x'",
]


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize("role", ["TEST_DATABASE_APP_URL", "TEST_DATABASE_OWNER_URL"])
@pytest.mark.parametrize("statement", REWRITING)
def test_nobody_rewrites_the_trail(subject: Subject, role: str, statement: str) -> None:
    with transaction.atomic():
        record("model.changed", subject, None, {"name": "a"}, reason="as it was")
    (entry,) = _entries(subject)
    connection = psycopg.connect(os.environ[role], options="-c leaky.scope=all")
    with connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(statement, {"id": entry.id})
    assert [kept.reason for kept in _entries(subject)] == ["as it was"]
