"""Looking at one key, changing it and replacing it by a new one."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db.models.functions import Now
from pytest_django import Settings

from apps.accounts.api import create_api_key, find_key
from apps.accounts.models import ApiKey, User
from apps.config.api import CREDENTIALS, versions
from apps.core.errors import InvalidCredential
from apps.core.http.caller import ALL_SCOPES, INFERENCE, KEYS_MANAGE, TOKENS_READ
from apps.orgs.api import join, open_organisation
from apps.orgs.models import Membership
from tests.integration.accounts.callers import Api, admin, new_user, signed_in, with_key

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.accounts.urls")]

KEYS = "/api/v1/auth/api-keys"
LIMITS: dict[str, Any] = {
    "scopes": {INFERENCE}, "allowed_models": ["gpt-4o"], "allowed_networks": ["203.0.113.7"], "budget": 500,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _serves_auth(settings: Settings) -> None:
    settings.SERVICES = ["auth"]


@pytest.fixture
def user() -> User:
    return new_user()


@pytest.fixture
def api(user: User) -> Api:
    return Api(signed_in(user))


def test_a_successor_has_all_that_the_old_key_had(user: User, api: Api) -> None:
    old, text = create_api_key(user, "laptop", **LIMITS)
    before = versions().get(CREDENTIALS, 0)
    answer = api("POST", f"{KEYS}/{old.pk}/rotate", {"graceSeconds": 60})
    made = answer.json()
    assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
    new, former = find_key(made["apiKey"]), find_key(text)
    assert versions().get(CREDENTIALS, 0) > before
    for name in ("scopes", "allowed_models", "allowed_networks", "budget", "org_id"):
        assert getattr(new, name) == getattr(former, name)
    assert new.budget_id == former.budget_id == old.pk, "they share one budget"
    assert new.expires_at is None
    assert former.expires_at is not None
    left = ApiKey.objects.filter(pk=old.pk, expires_at__gt=Now() + timedelta(seconds=55))
    assert left.filter(expires_at__lte=Now() + timedelta(seconds=60)).exists()
    assert api("GET", f"{KEYS}/{old.pk}").json()["replacedBy"] == made["id"]


def test_the_budget_is_shared_over_many_rotations(user: User, api: Api) -> None:
    first, _ = create_api_key(user, "laptop", budget=500)
    second = api("POST", f"{KEYS}/{first.pk}/rotate", {}).json()
    third = api("POST", f"{KEYS}/{second['id']}/rotate", {}).json()
    assert find_key(third["apiKey"]).budget_id == first.pk


def test_without_grace_the_old_key_ends_at_once(user: User, api: Api) -> None:
    old, text = create_api_key(user, "laptop")
    assert api("POST", f"{KEYS}/{old.pk}/rotate", {"graceSeconds": 0}).status_code == 201
    with pytest.raises(InvalidCredential):
        find_key(text)


def test_grace_never_prolongs_a_key(user: User, api: Api) -> None:
    old, _ = create_api_key(user, "laptop")
    ApiKey.objects.filter(pk=old.pk).update(expires_at=Now() + timedelta(seconds=30))
    old.refresh_from_db()
    made = api("POST", f"{KEYS}/{old.pk}/rotate", {"graceSeconds": 604800}).json()
    assert ApiKey.objects.get(pk=old.pk).expires_at == old.expires_at == ApiKey.objects.get(pk=made["id"]).expires_at


def test_a_second_rotation_names_the_successor(user: User, api: Api) -> None:
    old, _ = create_api_key(user, "laptop")
    made = api("POST", f"{KEYS}/{old.pk}/rotate", {}).json()
    again = api("POST", f"{KEYS}/{old.pk}/rotate", {})
    assert (again.status_code, again.json()["code"]) == (409, "key_replaced")
    assert made["id"] in again.json()["message"]
    assert ApiKey.objects.filter(owner=user).count() == 2
    assert api("PATCH", f"{KEYS}/{old.pk}", {"expiresAt": None}).status_code == 409, "nor does it live longer"


def test_an_expired_key_stays_as_it_is(user: User, api: Api) -> None:
    old, _ = create_api_key(user, "laptop")
    ApiKey.objects.filter(pk=old.pk).update(expires_at=Now() - timedelta(seconds=1))
    for method, path, body in (("POST", "/rotate", {}), ("PATCH", "", {"expiresAt": None})):
        answer = api(method, f"{KEYS}/{old.pk}{path}", body)
        assert (answer.status_code, answer.json()["code"]) == (409, "key_ended")


@pytest.mark.parametrize(
    "body", [{"graceSeconds": -1}, {"graceSeconds": 604801}, {"graceSeconds": "x"}, {"grace": 5}, []]
)
def test_bad_rotations(user: User, api: Api, body: Any) -> None:
    old, _ = create_api_key(user, "laptop")
    assert api("POST", f"{KEYS}/{old.pk}/rotate", body).status_code == 400
    assert ApiKey.objects.count() == 1


def test_a_rotation_gives_no_key_of_more_scopes_than_the_caller_has(user: User) -> None:
    manager, _ = create_api_key(user, "manager", scopes={KEYS_MANAGE})
    strong, _ = create_api_key(user, "strong", scopes={INFERENCE})
    api = Api(with_key(user, manager.pk, KEYS_MANAGE))
    refused = api("POST", f"{KEYS}/{strong.pk}/rotate", {})
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert api("POST", f"{KEYS}/{manager.pk}/rotate", {}).status_code == 201, "a program can renew its own key"


def test_a_key_is_changed(user: User, api: Api) -> None:
    key, text = create_api_key(user, "laptop", scopes={INFERENCE, TOKENS_READ})
    changes = {
        "name": "desk", "scopes": ["inference"], "allowedModels": ["gpt-4o"], "allowedIps": ["203.0.113.7/32"],
        "expiresAt": "2999-01-01T00:00:00Z", "budget": 7,
    }  # fmt: skip
    changed = api("PATCH", f"{KEYS}/{key.pk}", changes).json()
    assert {name: changed[name] for name in changes} == changes
    assert find_key(text).scopes == {INFERENCE}
    assert api("PATCH", f"{KEYS}/{key.pk}", {}).json() == changed == api("GET", f"{KEYS}/{key.pk}").json()
    cleared = api("PATCH", f"{KEYS}/{key.pk}", {"name": None, "allowedModels": None, "budget": None}).json()
    assert (cleared["name"], cleared["allowedModels"], cleared["budget"]) == (None, None, None)


@pytest.mark.parametrize("scopes", [["inference", "tokens:purchase"], ["org:manage"], None])
def test_scopes_only_become_fewer(user: User, api: Api, scopes: list[str] | None) -> None:
    key, text = create_api_key(user, "laptop", scopes={INFERENCE, TOKENS_READ})
    answer = api("PATCH", f"{KEYS}/{key.pk}", {"scopes": scopes})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "scopes")
    assert find_key(text).scopes == {INFERENCE, TOKENS_READ}


FIELDS = [field.name for field in ApiKey._meta.get_fields()]


@pytest.mark.parametrize("field", [*FIELDS, "is_admin", "orgId", "userId", "owner_id", "apiKey"])
def test_a_change_takes_no_field_but_its_own(user: User, api: Api, field: str) -> None:
    key, _ = create_api_key(user, "laptop")
    before = ApiKey.objects.filter(pk=key.pk).values().get()
    if field not in {"name", "scopes", "budget"}:
        assert api("PATCH", f"{KEYS}/{key.pk}", {field: 1}).status_code == 400
        assert ApiKey.objects.filter(pk=key.pk).values().get() == before


def test_keys_of_strangers_are_not_there(user: User, api: Api) -> None:
    theirs, text = create_api_key(new_user(), "another's")
    answers = [
        api(method, f"{KEYS}/{key_id}{path}", body)
        for key_id in (theirs.pk, "0123456789", "x", "%00", str(uuid4()), "..%2f")
        for method, path, body in (("GET", "", None), ("PATCH", "", {"name": "x"}), ("POST", "/rotate", {}))
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert find_key(text).id == theirs.pk
    assert Api(admin())("GET", f"{KEYS}/{theirs.pk}").status_code == 200


def test_who_runs_an_organisation_sees_its_keys_but_gets_no_members_text(user: User) -> None:
    org, member = open_organisation("engines", "Analytical Engines"), new_user()
    join(org, user.pk, Membership.Role.ADMIN)
    join(org, member.pk)
    bound, _ = create_api_key(member, "bound", org_id=org.pk)
    private, _ = create_api_key(member, "private")
    api = Api(signed_in(user))
    assert api("GET", f"{KEYS}/{bound.pk}").status_code == 200
    assert api("PATCH", f"{KEYS}/{bound.pk}", {"budget": 5}).status_code == 200
    assert api("POST", f"{KEYS}/{bound.pk}/rotate", {}).status_code == 403
    assert api("GET", f"{KEYS}/{private.pk}").status_code == 404
    User.objects.filter(pk=member.pk).update(kind=User.Kind.SERVICE)
    assert api("POST", f"{KEYS}/{bound.pk}/rotate", {}).status_code == 201, "service accounts have nobody else"
    join(org, user.pk, Membership.Role.MEMBER)
    assert api("GET", f"{KEYS}/{bound.pk}").status_code == 404


def test_a_rotated_key_does_not_count_against_the_limit(user: User, api: Api, settings: Settings) -> None:
    settings.KEYS_PER_USER = 1
    key, _ = create_api_key(user, "laptop", scopes=ALL_SCOPES)
    assert api("POST", f"{KEYS}/{key.pk}/rotate", {}).status_code == 201
    assert api("POST", KEYS, {"userId": str(user.pk)}).status_code == 400
