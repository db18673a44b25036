"""What operators do with keys in the console beyond making and revoking them."""

import html
import json
import re
from typing import Any

import pytest
from django.test import Client

from apps.accounts.api import create_api_key, find_key, open_user
from apps.accounts.models import ApiKey
from apps.audit.models import Entry
from apps.core.http.caller import INFERENCE
from apps.orgs.api import join, open_organisation
from tests.integration.accounts.callers import new_user

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.console.urls")]

KEY = re.compile(r"leaky_[0-9a-f-]{36}_[0-9A-Za-z]{48}")
PAGE = "/admin/accounts/apikey/"


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(open_user("operator", "operator@example.test", "a long enough password", operator=True))
    return client


def _sent(client: Client, page: str, **fields: Any) -> str:
    response = client.post(page, fields, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def test_a_key_is_made_with_limits(operator: Client) -> None:
    limits = {"scopes": ["inference"], "allowed_networks": ["203.0.113.0/24"], "allowed_models": ["gpt-4o"]}
    fields = {name: json.dumps(value) for name, value in limits.items()}
    page = _sent(operator, f"{PAGE}add/", name="laptop", owner=str(new_user().pk), budget="500", **fields)
    (text,) = set(KEY.findall(page))
    found = find_key(text)
    assert (found.scopes, found.allowed_models, found.budget) == ({INFERENCE}, {"gpt-4o"}, 500)
    assert found.allowed_networks == ("203.0.113.0/24",)


@pytest.mark.parametrize(
    "field", [{"scopes": '["all"]'}, {"allowed_networks": '["x"]'}, {"budget": "0"}, {"name": "a\u202eb"}], ids=repr
)
def test_bad_limits_are_refused(operator: Client, field: dict[str, str]) -> None:
    _sent(operator, f"{PAGE}add/", **{"name": "laptop", "owner": str(new_user().pk)} | field)
    assert not ApiKey.objects.exists()


def test_only_an_organisation_of_the_owners_can_pay(operator: Client) -> None:
    owner, org = new_user(), open_organisation("engines", "Engines")
    fields = {"name": "server", "owner": str(owner.pk), "org_id": str(org.pk)}
    assert "not a member of such an organisation" in _sent(operator, f"{PAGE}add/", **fields)
    assert not ApiKey.objects.exists()
    key, _ = create_api_key(owner, "laptop")
    page = f"{PAGE}{key.pk}/change/"
    assert "not a member of such an organisation" in _sent(operator, page, name="laptop", org_id=str(org.pk))
    join(org, owner.pk)
    _sent(operator, page, name="laptop", org_id=str(org.pk))
    key.refresh_from_db()
    assert key.org_id == org.pk
    assert KEY.findall(_sent(operator, f"{PAGE}add/", **fields))


def test_a_name_is_shown_as_it_is_written(operator: Client) -> None:
    name = "<script>alert(1)</script>"
    key, _ = create_api_key(new_user(), name)
    for page in (PAGE, f"{PAGE}{key.pk}/change/"):
        shown = operator.get(page).content.decode()
        assert name not in shown
        assert html.escape(name) in shown


def test_keys_are_rotated_after_asking_and_shown_once(operator: Client) -> None:
    old, text = create_api_key(new_user(), "laptop", budget=500)
    fields = {"action": "rotate", "_selected_action": [old.pk]}
    assert "Yes, do it" in _sent(operator, PAGE, **fields)
    assert ApiKey.objects.count() == 1
    (new,) = set(KEY.findall(_sent(operator, PAGE, **fields, confirmed="yes")))
    assert find_key(new).budget_id == find_key(text).budget_id == old.pk
    assert new not in operator.get(PAGE).content.decode()
    again = _sent(operator, PAGE, **fields, confirmed="yes")
    assert not KEY.findall(again)
    assert f"has been replaced by {find_key(new).id}" in again
    assert set(Entry.objects.values_list("action", flat=True)) >= {"api_key.created", "api_key.rotated"}


def test_a_change_is_audited(operator: Client) -> None:
    key, _ = create_api_key(new_user(), "laptop")
    _sent(operator, f"{PAGE}{key.pk}/change/", name="desk", budget="7")
    entry = Entry.objects.get(action="api_key.changed")
    assert (entry.before, entry.after) == ({"name": "laptop", "budget": None}, {"name": "desk", "budget": 7})
