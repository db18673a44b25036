"""The second line: what a connection of an API service sees without any selector's help."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connection, transaction
from pytest_django import Settings

from apps.accounts.api import create_api_key
from apps.accounts.models import User
from apps.core import tenancy
from apps.orgs import invitations, member_limits, services
from apps.orgs.api import assign_tier, join
from apps.orgs.domain import OWNER, Standing
from apps.orgs.models import Membership, Organisation
from tests.integration.orgs.calls import as_user, person

pytestmark = pytest.mark.usefixtures("committed")

TABLES = (
    "orgs_organisation", "orgs_membership", "orgs_invitation", "accounts_apikey", "orgs_tierassignment",
    "orgs_memberlimit",
)  # fmt: skip
MEMBERS_ORG = "(SELECT org_id FROM orgs_membership WHERE orgs_membership.id = membership_id)"
ROWS_OF = {
    "orgs_organisation": "id", "orgs_membership": "org_id", "orgs_invitation": "org_id", "accounts_apikey": "org_id",
    "orgs_tierassignment": "payer_id", "orgs_memberlimit": MEMBERS_ORG,
}  # fmt: skip


@dataclass
class Tenant:
    owner: User
    org: Organisation


def _tenant() -> Tenant:
    """An owner with an organisation, and a row in every table."""
    owner = person(f"u{uuid4().hex[:12]}")
    org = services.create(owner, "Engines", f"e{uuid4().hex[:12]}")
    create_api_key(owner, "server", org_id=org.pk)
    assign_tier("org", org.pk, "ADMIN")
    member_limits.set_limit(Standing(org.pk, owner.pk, OWNER), owner.pk, None, "day", 5)
    invitations.invite(Standing(org.pk, owner.pk, OWNER), f"{uuid4().hex[:12]}@example.test", "member")
    return Tenant(owner, org)


@pytest.fixture
def tenants() -> tuple[Tenant, Tenant]:
    return _tenant(), _tenant()


@pytest.fixture
def service() -> Iterator[psycopg.Connection]:
    """A connection as a service process opens it."""
    with psycopg.connect(os.environ["DATABASE_URL"], options="-c leaky.scope=tenant", autocommit=True) as connected:
        yield connected


def _enter(service: psycopg.Connection, user_id: UUID) -> None:
    service.execute("SELECT set_config('leaky.user', %s, false)", [str(user_id)])


def _seen(service: psycopg.Connection, table: str) -> set[UUID]:
    return {row[0] for row in service.execute(f"SELECT {ROWS_OF[table]} FROM {table}").fetchall()}  # noqa: S608


@pytest.mark.parametrize("table", TABLES)
def test_a_user_sees_their_organisations_rows_only(
    service: psycopg.Connection, tenants: tuple[Tenant, Tenant], table: str
) -> None:
    mine, other = tenants
    assert _seen(service, table) == set(), "nothing without a user"
    _enter(service, mine.owner.pk)
    assert _seen(service, table) == {mine.org.pk}
    join(mine.org, other.owner.pk)
    _enter(service, other.owner.pk)
    assert _seen(service, table) == {mine.org.pk, other.org.pk}


def test_a_foreign_organisations_rows_are_neither_changed_nor_made(
    service: psycopg.Connection, tenants: tuple[Tenant, Tenant]
) -> None:
    mine, other = tenants
    _enter(service, mine.owner.pk)
    for table in TABLES:
        deleted = service.execute(f"DELETE FROM {table} WHERE {ROWS_OF[table]} = %s", [other.org.pk])  # noqa: S608
        assert deleted.rowcount == 0, table
    renamed = service.execute("UPDATE orgs_organisation SET name = 'mine' WHERE id = %s", [other.org.pk])
    assert renamed.rowcount == 0
    into = "INSERT INTO orgs_membership (org_id, user_id, role) VALUES (%s, %s, 'owner')"
    stranger = person(f"u{uuid4().hex[:12]}")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        service.execute(into, [other.org.pk, stranger.pk])
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        service.execute("UPDATE accounts_apikey SET org_id = %s, owner_id = %s", [other.org.pk, other.owner.pk])
    assert {row.user_id for row in Membership.objects.filter(org=other.org)} == {other.owner.pk}


@pytest.fixture
def as_service(settings: Settings) -> Iterator[None]:
    """This process as one of the API services: its connection sees nothing until a caller is known."""
    settings.DATABASE_SCOPE = "tenant"
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('leaky.scope', 'tenant', false)")
    yield
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('leaky.scope', 'all', false), set_config('leaky.user', '', false)")


def test_the_routes_work_behind_the_second_line(tenants: tuple[Tenant, Tenant], as_service: None) -> None:
    """Everything that the routes do, on a connection that sees the caller's rows only, and none between calls."""
    mine, other = tenants
    assert not Organisation.objects.exists()
    calls = as_user(mine.owner)
    slug = f"e{uuid4().hex[:12]}"
    status, created = calls.post("orgs", name="Second", slug=slug)
    assert status == 201
    assert calls.post("orgs", name="Second", slug=slug)[1]["code"] == "organisation_exists"
    assert as_user(other.owner).post("orgs", name="Second", slug=slug)[1]["code"] == "slug_taken"
    base = f"orgs/{created['id']}"
    assert calls.patch(base, name="Renamed")[1]["name"] == "Renamed"
    assert calls.post(f"{base}/invitations", email=other.owner.email)[0] == 201
    account = calls.post(f"{base}/service-accounts", name="job")[1]["userId"]
    assert calls.post(f"{base}/service-accounts/{account}/api-keys", name="nightly")[0] == 201
    assert len(calls.get(f"{base}/members")[1]["items"]) == 2
    assert calls.put(f"{base}/members/{account}/limits", window="day", tokens=5)[0] == 200
    assert len(calls.get(f"{base}/limits")[1]["items"]) == 1
    assert calls.delete(f"{base}/service-accounts/{account}")[0] == 204
    assert as_user(other.owner).get(base)[0] == 404
    assert as_user(other.owner, admin=True).get(base)[0] == 200
    assert calls.delete(f"{base}/members/{account}")[0] == 204
    assert not Organisation.objects.exists()


def test_joining_and_leaving_work_behind_the_second_line(
    tenants: tuple[Tenant, Tenant], as_service: None, mailoutbox: list[object]
) -> None:
    mine, other = tenants
    calls, joins = as_user(mine.owner), as_user(other.owner)
    assert calls.post(f"orgs/{mine.org.pk}/invitations", email=other.owner.email)[0] == 201
    secret = str(mailoutbox[-1].body).split("token=")[1].split()[0]  # type: ignore[attr-defined]
    assert joins.post("invitations/accept", token=secret)[1]["role"] == "member"
    with tenancy.everyone(), transaction.atomic():
        key, _ = create_api_key(other.owner, "bound", org_id=mine.org.pk)
    assert joins.post(f"orgs/{mine.org.pk}/leave")[0] == 204
    with tenancy.everyone():
        key.refresh_from_db()
    assert key.revoked_at is not None
    assert joins.get(f"orgs/{mine.org.pk}")[0] == 404
