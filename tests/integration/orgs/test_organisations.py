"""Organisations and their members over HTTP: who may do what, and what leaving takes along."""

from uuid import UUID, uuid4

import pytest
from django.test import Client
from pytest_django import Settings

from apps.accounts.api import create_api_key
from apps.accounts.models import ApiKey, User
from apps.audit.models import Entry
from apps.config.api import CREDENTIALS, versions
from apps.core.errors import InvalidCredential
from apps.core.http.caller import API_KEY, KEY_SCOPES
from apps.orgs.api import join, principal_of
from apps.orgs.models import Membership, Organisation
from tests.integration.orgs.calls import Calls, as_user, person

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> User:
    return person("ada")


@pytest.fixture
def grace() -> User:
    return person("grace")


@pytest.fixture
def org(ada: User) -> Organisation:
    status, body = as_user(ada).post("orgs", name="Analytical Engines", slug="engines")
    assert status == 201
    return Organisation.objects.get(pk=body["id"])


def _role(org: Organisation, user: User) -> str:
    return Membership.objects.get(org=org, user=user).role


def test_whoever_creates_an_organisation_owns_it(ada: User, org: Organisation) -> None:
    expected = {"id": str(org.pk), "name": "Analytical Engines", "slug": "engines", "suspended": False, "role": "owner"}
    assert as_user(ada).get("orgs") == (200, {"items": [expected], "next": None})
    assert as_user(ada).get(f"orgs/{org.pk}") == (200, expected)
    actions = list(Entry.objects.filter(org_id=org.pk).order_by("id").values_list("action", "actor_id", "ip"))
    assert actions == [
        ("organisation.created", str(ada.pk), "203.0.113.7"), ("membership.created", str(ada.pk), "203.0.113.7")
    ]  # fmt: skip


def test_a_retry_names_the_organisation_and_a_stranger_learns_nothing(
    ada: User, grace: User, org: Organisation
) -> None:
    status, body = as_user(ada).post("orgs", name="Analytical Engines", slug="engines")
    assert (status, body["code"]) == (409, "organisation_exists")
    assert str(org.pk) in body["message"]
    status, body = as_user(grace).post("orgs", name="Mine", slug="engines")
    assert (status, body["code"]) == (409, "slug_taken")
    assert str(org.pk) not in body["message"]
    assert Organisation.objects.count() == 1


def test_a_user_owns_only_so_many(ada: User, org: Organisation, settings: Settings) -> None:
    settings.ORGS_PER_USER = 1
    status, body = as_user(ada).post("orgs", name="Another", slug="another")
    assert (status, body["code"]) == (409, "too_many")
    assert not Organisation.objects.filter(slug="another").exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [("slug", "Upper"), ("slug", "a--b"), ("slug", "a" * 41), ("name", ""), ("name", "a\u202eb"),
     ("name", "a\x00b"), ("name", "x" * 10_000), ("suspended", False), ("is_admin", True)],
)  # fmt: skip
def test_bad_input_is_named(ada: User, field: str, value: object) -> None:
    status, body = as_user(ada).post("orgs", **{"name": "Engines", "slug": "engines"} | {field: value})
    assert (status, body["errors"][0]["field"]) == (400, field)
    assert not Organisation.objects.exists()


def test_html_in_a_name_stays_text(ada: User) -> None:
    assert as_user(ada).post("orgs", name="<b>Engines</b>", slug="engines")[1]["name"] == "<b>Engines</b>"


def test_foreign_missing_and_malformed_ids_are_the_same_404(ada: User, grace: User, org: Organisation) -> None:
    join(org, ada.pk, "owner")
    routes = [
        ("get", ""), ("patch", ""), ("get", "/members"), ("patch", f"/members/{ada.pk}"),
        ("delete", f"/members/{ada.pk}"), ("post", "/leave"), ("get", "/invitations"), ("post", "/invitations"),
        ("delete", f"/invitations/{uuid4()}"), ("get", "/service-accounts"), ("post", "/service-accounts"),
        ("delete", f"/service-accounts/{ada.pk}"), ("get", f"/service-accounts/{ada.pk}/api-keys"),
        ("post", f"/service-accounts/{ada.pk}/api-keys"), ("get", "/api-keys"), ("delete", "/api-keys/x"),
    ]  # fmt: skip
    for method, rest in routes:
        bodies = []
        for org_id in (str(org.pk), str(uuid4()), "no-id", "{" + str(uuid4()) + "}", org.pk.hex):
            status, body = getattr(as_user(grace), method)(f"orgs/{org_id}{rest}")
            assert status == 404, (method, rest, body)
            bodies.append((body["message"], body["code"]))
        assert set(bodies) == {("not found", "not_found")}, (method, rest)


def test_without_a_gateways_token_nobody_is_served(org: Organisation) -> None:
    for path in ("orgs", f"orgs/{org.pk}", f"orgs/{org.pk}/members", "orgs/no-id"):
        response = Client(headers={"X-User-Id": str(uuid4()), "X-Org-Id": str(org.pk)}).get(f"/api/v1/{path}")
        assert (response.status_code, response.json()["code"]) == (401, "invalid_token")


def test_scopes(ada: User, org: Organisation) -> None:
    key = as_user(ada, kind=API_KEY, scopes=KEY_SCOPES)
    assert key.get("orgs")[0] == 200
    for status, body in (key.get(f"orgs/{org.pk}/members"), key.patch(f"orgs/{org.pk}", name="Mine")):
        assert (status, body["code"]) == (403, "insufficient_scope")


def test_a_bound_credential_stays_in_its_organisation(ada: User, org: Organisation) -> None:
    other = as_user(ada).post("orgs", name="Other", slug="other")[1]["id"]
    bound = as_user(ada, kind=API_KEY, org_id=org.pk)
    assert [item["slug"] for item in bound.get("orgs")[1]["items"]] == ["engines"]
    assert bound.get(f"orgs/{other}")[0] == 404
    status, body = bound.post("orgs", name="Third", slug="third")
    assert (status, body["code"]) == (403, "bound_to_organisation")


def test_the_products_administrators_act_as_owners(grace: User, org: Organisation) -> None:
    admin = as_user(grace, admin=True)
    assert admin.patch(f"orgs/{org.pk}", name="Renamed")[1]["name"] == "Renamed"
    assert [item["role"] for item in admin.get("orgs")[1]["items"]] == ["owner"]


def test_who_may_do_what(ada: User, grace: User, org: Organisation) -> None:
    """Owners all; admins plain members; members look."""
    people = {role: person(role) for role in ("admin", "member")}
    for role, user in people.items():
        join(org, user.pk, role)
    join(org, grace.pk)
    base = f"orgs/{org.pk}"
    member, admin, owner = as_user(people["member"]), as_user(people["admin"]), as_user(ada)
    assert member.get(f"{base}/members")[0] == 200
    for calls, path in [
        (lambda who: who.patch(base, name="x")[0], "rename"),
        (lambda who: who.get(f"{base}/invitations")[0], "invitations"),
        (lambda who: who.get(f"{base}/api-keys")[0], "keys"),
        (lambda who: who.get(f"{base}/service-accounts")[0], "service accounts"),
        (lambda who: who.post(f"{base}/invitations", email="new@example.test")[0], "invite"),
    ]:
        statuses = [calls(member), calls(admin), calls(owner)]
        assert statuses[0] == 403, path
        assert set(statuses[1:]) <= {200, 201}, path
    for target, role in ((grace, "admin"), (ada, "member"), (people["admin"], "member")):
        assert admin.patch(f"{base}/members/{target.pk}", role=role)[1]["code"] == "missing_org_role"
    assert admin.delete(f"{base}/members/{ada.pk}")[1]["code"] == "missing_org_role"
    assert admin.post(f"{base}/invitations", email="n@example.test", role="admin")[1]["code"] == "missing_org_role"
    assert member.delete(f"{base}/members/{grace.pk}")[1]["code"] == "missing_org_role"
    assert owner.patch(f"{base}/members/{grace.pk}", role="owner")[1]["role"] == "owner"
    assert admin.delete(f"{base}/members/{people['member'].pk}")[0] == 204
    assert admin.delete(f"{base}/members/{uuid4()}")[0] == 404


def test_the_last_owner_stays(ada: User, grace: User, org: Organisation) -> None:
    join(org, grace.pk, "admin")
    base, calls = f"orgs/{org.pk}", as_user(ada)
    refusals = [
        calls.post(f"{base}/leave"), calls.delete(f"{base}/members/{ada.pk}"),
        calls.patch(f"{base}/members/{ada.pk}", role="admin"),
    ]  # fmt: skip
    assert {(status, body["code"]) for status, body in refusals} == {(409, "last_owner")}
    assert calls.patch(f"{base}/members/{grace.pk}", role="owner")[0] == 200
    assert calls.post(f"{base}/leave")[0] == 204
    assert calls.get(base)[0] == 404
    assert _role(org, grace) == "owner"


@pytest.mark.parametrize("way", ["leave", "remove"])
def test_a_leavers_keys_die_for_good(ada: User, grace: User, org: Organisation, way: str) -> None:
    join(org, grace.pk)
    own, own_text = create_api_key(grace, "own")
    bound, text = create_api_key(grace, "bound", org_id=org.pk)
    kept, _ = create_api_key(ada, "somebody else's", org_id=org.pk)
    assert principal_of(own_text, org.pk).payer_id == org.pk
    before = versions().get(CREDENTIALS, 0)
    calls = as_user(grace) if way == "leave" else as_user(ada)
    path = f"orgs/{org.pk}/leave" if way == "leave" else f"orgs/{org.pk}/members/{grace.pk}"
    assert (calls.post(path) if way == "leave" else calls.delete(path))[0] == 204
    assert versions().get(CREDENTIALS, 0) > before
    revoked = {key.pk for key in ApiKey.objects.exclude(revoked_at=None)}
    assert revoked == {bound.pk}, f"neither {own.pk} nor {kept.pk}"
    join(org, grace.pk)
    with pytest.raises(InvalidCredential):
        principal_of(text)
    entry = Entry.objects.get(action="membership.removed")
    assert (entry.subject_id, entry.org_id, entry.before["role"]) == (str(grace.pk), org.pk, "member")


def test_pages(ada: User, org: Organisation) -> None:
    for number in range(4):
        join(org, person(f"user{number}").pk)
    seen: list[str] = []
    path = following = f"orgs/{org.pk}/members?limit=2"
    while following:
        _, body = as_user(ada).get(following)
        assert len(body["items"]) <= 2
        seen += [item["userId"] for item in body["items"]]
        following = f"{path}&cursor={body['next']}" if body["next"] else ""
    assert len(seen) == len(set(seen)) == 5
    for query in ("limit=201", "limit=0", "limit=x", "cursor=forged"):
        assert as_user(ada).get(f"orgs/{org.pk}/members?{query}")[0] == 400


def _create(calls: Calls, org: Organisation) -> str:
    status, body = calls.post(f"orgs/{org.pk}/service-accounts", name="nightly report")
    assert status == 201
    assert body["enabled"]
    return str(body["userId"])


def test_service_accounts(ada: User, grace: User, org: Organisation) -> None:
    calls, base = as_user(ada), f"orgs/{org.pk}/service-accounts"
    first, second = _create(calls, org), _create(calls, org)
    account = User.objects.get(pk=first)
    assert (account.username, account.email) == ("svc-engines-1", "svc-engines-1@service.invalid")
    assert (account.kind, account.has_usable_password(), _role(org, account)) == ("service", False, "member")
    status, key = calls.post(f"{base}/{first}/api-keys", name="nightly")
    assert status == 201
    assert principal_of(key["apiKey"]).payer_id == org.pk
    listed = calls.get(f"{base}/{first}/api-keys")[1]["items"]
    assert [item["id"] for item in listed] == [key["id"]]
    assert key["apiKey"] not in str(listed)
    assert calls.get(f"{base}/{second}/api-keys")[1]["items"] == []
    assert calls.delete(f"{base}/{first}")[0] == 204
    with pytest.raises(InvalidCredential):
        principal_of(key["apiKey"])
    assert {item["userId"]: item["enabled"] for item in calls.get(base)[1]["items"]} == {first: False, second: True}
    assert calls.post(f"{base}/{first}/api-keys", name="again")[0] == 404
    assert calls.post(f"{base}/{ada.pk}/api-keys", name="a person's")[0] == 404


def test_a_service_account_founds_nothing(ada: User, org: Organisation) -> None:
    account = User.objects.get(pk=_create(as_user(ada), org))
    assert as_user(account, kind=API_KEY).post("orgs", name="Own", slug="own")[1]["code"] == "bound_to_organisation"


def test_nobody_gives_scopes_that_they_lack(ada: User, org: Organisation) -> None:
    path = f"orgs/{org.pk}/service-accounts/{_create(as_user(ada), org)}/api-keys"
    narrow = as_user(ada, kind=API_KEY, scopes=frozenset({"org:manage"}))
    status, body = narrow.post(path, name="wide")
    assert (status, body["code"]) == (403, "insufficient_scope")
    for field, value in (("scopes", ["root"]), ("allowedIps", ["nowhere"]), ("budget", 0), ("owner", "x")):
        status, body = as_user(ada).post(path, name="bad", **{field: value})
        assert (status, body["errors"][0]["field"].split(".")[0]) == (400, field)
    assert not ApiKey.objects.exists()


def test_admins_see_and_revoke_the_keys_that_their_organisation_pays_for(
    ada: User, grace: User, org: Organisation
) -> None:
    join(org, grace.pk)
    bound, _ = create_api_key(grace, "bound", org_id=org.pk)
    own, _ = create_api_key(grace, "own")
    other = Organisation.objects.get(pk=UUID(as_user(ada).post("orgs", name="Other", slug="other")[1]["id"]))
    foreign, _ = create_api_key(ada, "foreign", org_id=other.pk)
    calls, path = as_user(ada), f"orgs/{org.pk}/api-keys"
    assert [item["id"] for item in calls.get(path)[1]["items"]] == [bound.pk]
    for key in (own, foreign):
        assert calls.delete(f"{path}/{key.pk}")[0] == 404
    assert calls.delete(f"{path}/{bound.pk}")[0] == 204
    assert calls.delete(f"{path}/{bound.pk}")[0] == 404
    assert set(ApiKey.objects.filter(revoked_at=None)) == {own, foreign}
