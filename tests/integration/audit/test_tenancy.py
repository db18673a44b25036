"""The database shows a service's connection its caller's own entries and those of the caller's organisations."""

import os
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import transaction

from apps.accounts.api import open_user
from apps.audit.api import Entry, Subject, record
from apps.core.acting import PERSON, Actor, acting
from apps.orgs.api import join, open_organisation

pytestmark = pytest.mark.usefixtures("committed")


def _user() -> UUID:
    name = f"u{uuid4().hex[:12]}"
    return open_user(name, f"{name}@example.test", "a long enough password").pk


def _entry(actor: UUID, org: UUID | None) -> UUID:
    subject = Subject("thing", str(uuid4()), org)
    with transaction.atomic(), acting(Actor(PERSON, id=str(actor))):
        record("thing.made", subject, None, {"size": 1})
    return Entry.objects.get(subject_id=subject.id).pk


def _connection(user: UUID | None) -> psycopg.Connection:
    """As a process of an API service has them, while it serves ``user``."""
    url, scope = os.environ["TEST_DATABASE_APP_URL"], f"-c leaky.scope=tenant -c leaky.user={user or ''}"
    return psycopg.connect(url, options=scope)


def _visible(user: UUID | None, *entries: UUID) -> set[UUID]:
    with _connection(user) as connection:
        found = connection.execute("SELECT id FROM audit_entry WHERE id = ANY(%s)", [list(entries)])
        return {row[0] for row in found}


def test_each_sees_their_own_and_their_organisations_entries() -> None:
    ada, bob, stranger = _user(), _user(), _user()
    org = open_organisation(f"o{uuid4().hex[:12]}", "Engines")
    join(org, bob)
    hers, orgs, nobodys = _entry(ada, None), _entry(ada, org.pk), _entry(uuid4(), None)
    assert _visible(ada, hers, orgs, nobodys) == {hers, orgs}
    assert _visible(bob, hers, orgs, nobodys) == {orgs}
    assert _visible(stranger, hers, orgs, nobodys) == set()
    assert _visible(None, hers, orgs, nobodys) == set()


def test_what_cannot_be_read_can_be_written() -> None:
    """A stranger's failed attempt, or a change to another's thing, is recorded by the same connection."""
    entry = uuid4()
    with _connection(None) as connection:
        connection.execute(
            """INSERT INTO audit_entry (id, at, actor_kind, actor_id, actor_name, ip, request_id, action, subject_kind,
            subject_id, reason) VALUES (%s, now(), 'system', '', '', '', '', 'thing.made', 'thing', '1', '')""",
            [entry],
        )
    assert Entry.objects.filter(pk=entry).exists()
    assert _visible(None, entry) == set()
