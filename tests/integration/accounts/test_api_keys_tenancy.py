"""The routes of keys in a process whose connections see the caller's rows only, as the services' do."""

import pytest
from django.db import connection
from pytest_django import Settings

from apps.accounts.api import create_api_key
from apps.accounts.models import ApiKey
from apps.core import tenancy
from apps.orgs.api import join, open_organisation
from apps.orgs.models import Membership
from tests.integration.accounts.callers import Api, admin, new_user, signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.accounts.urls")]

KEYS = "/api/v1/auth/api-keys"


@pytest.fixture
def _one_tenant(settings: Settings) -> None:
    settings.SERVICES = ["auth"]
    settings.DATABASE_SCOPE = tenancy.TENANT
    with connection.cursor() as cursor:  # Taken back with the test's transaction.
        cursor.execute("SELECT set_config('leaky.scope', 'tenant', false), set_config('leaky.user', '', false)")


@pytest.mark.usefixtures("_one_tenant")
def test_a_keys_whole_life() -> None:
    user = new_user()
    api = Api(signed_in(user))
    made = api("POST", KEYS, {"userId": str(user.pk), "name": "laptop"}).json()
    assert api("PATCH", f"{KEYS}/{made['id']}", {"name": "desk"}).json()["name"] == "desk"
    valid = Api(None)("GET", f"{KEYS}/validate", **{"X-Api-Key": made["apiKey"]})
    assert (valid.status_code, valid.json()["userId"]) == (200, str(user.pk))
    successor = api("POST", f"{KEYS}/{made['id']}/rotate", {}).json()
    assert {key["id"] for key in api("GET", f"{KEYS}?userId={user.pk}").json()} == {made["id"], successor["id"]}
    assert api("DELETE", f"{KEYS}?userId={user.pk}&apiKeyId={successor['id']}").status_code == 204
    assert not ApiKey.objects.exists(), "between requests nobody's rows are seen"
    with tenancy.everyone():
        assert ApiKey.objects.filter(owner=user).count() == 2


@pytest.mark.usefixtures("_one_tenant")
def test_an_admin_and_who_runs_an_organisation() -> None:
    member, runner = new_user(), new_user()
    with tenancy.everyone():
        org = open_organisation("engines", "Analytical Engines")
        join(org, member.pk)
        join(org, runner.pk, Membership.Role.ADMIN)
        bound, _ = create_api_key(member, "bound", org_id=org.pk)
        private, _ = create_api_key(member, "private")
    assert Api(signed_in(runner))("PATCH", f"{KEYS}/{bound.pk}", {"name": "x"}).status_code == 200
    assert Api(signed_in(runner))("GET", f"{KEYS}/{private.pk}").status_code == 404
    assert Api(signed_in(member))("GET", f"{KEYS}/{private.pk}").status_code == 200
    boss = Api(admin())
    assert boss("GET", f"{KEYS}/{private.pk}").status_code == 200
    assert boss("POST", KEYS, {"userId": str(member.pk), "orgId": str(org.pk)}).status_code == 201
