"""Keys over HTTP as the original's contract has them (CONTRACT, section 1.1): create, list, revoke, validate."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models.functions import Now
from pytest_django import Settings

from apps.accounts.api import create_api_key, find_key
from apps.accounts.models import ApiKey, User
from apps.audit.models import Entry
from apps.core.errors import InvalidCredential
from apps.core.http.caller import ALL_SCOPES, INFERENCE, KEY_SCOPES, KEYS_MANAGE, TOKENS_READ
from apps.orgs.api import join, open_organisation
from tests.integration.accounts.callers import Api, admin, new_user, signed_in, with_key

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.accounts.urls")]

KEYS = "/api/v1/auth/api-keys"


@pytest.fixture(autouse=True)
def _serves_auth(settings: Settings) -> None:
    settings.SERVICES = ["auth"]


@pytest.fixture
def user() -> User:
    return new_user()


@pytest.fixture
def api(user: User) -> Api:
    return Api(signed_in(user))


def code(answer: Any) -> tuple[int, str]:
    """Status and message."""
    return answer.status_code, answer.json()["message"]


def test_a_key_is_made_and_works(user: User, api: Api) -> None:
    answer = api("POST", KEYS, {"userId": str(user.pk), "name": "  laptop "})
    made = answer.json()
    assert answer.status_code == 201
    assert answer["Cache-Control"] == "no-store"
    assert {"id", "userId", "name", "createdAt", "expiresAt", "apiKey"} <= set(made)
    assert (made["userId"], made["name"], made["expiresAt"]) == (str(user.pk), "laptop", None)
    assert made["apiKey"] == made["rawKey"]
    assert made["apiKey"].startswith(f"leaky_{user.pk}_{made['id']}")
    assert made["createdAt"].endswith("Z")
    found = find_key(made["apiKey"])
    assert (found.id, found.scopes, found.budget) == (made["id"], KEY_SCOPES, None)


def test_a_key_is_made_with_limits(user: User, api: Api) -> None:
    limits = {
        "scopes": ["inference", "tokens:read"], "allowedModels": ["gpt-4o-mini"], "allowedIps": ["203.0.113.0/24"],
        "budget": 5000, "expiresAt": "2999-01-31T12:00:00Z",
    }  # fmt: skip
    made = api("POST", KEYS, {"userId": str(user.pk), **limits}).json()
    assert {name: made[name] for name in limits} == limits
    assert made["name"] is None
    found = find_key(made["apiKey"])
    assert (found.scopes, found.allowed_models) == ({INFERENCE, TOKENS_READ}, {"gpt-4o-mini"})
    assert (found.allowed_networks, found.budget, found.budget_id) == (("203.0.113.0/24",), 5000, made["id"])


def test_nobody_signed_in_is_401(user: User) -> None:
    nobody = Api(None)
    for method, path in (
        ("POST", KEYS),
        ("GET", f"{KEYS}?userId={user.pk}"),
        ("DELETE", f"{KEYS}?userId=x&apiKeyId=y"),
    ):
        answer = nobody(method, path, {"userId": str(user.pk)} if method == "POST" else None)
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")


def test_a_user_makes_keys_of_their_own_only(user: User, api: Api) -> None:
    for user_id in (None, "", "  ", str(user.pk).upper(), str(uuid4()), "nonsense", 7, [str(user.pk)], "\x00"):
        body = {} if user_id is None else {"userId": user_id}
        assert api("POST", KEYS, body).status_code == 403, user_id
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(
    ("user_id", "message"),
    [
        (None, "userId is required"), ("", "userId is required"), ("  ", "userId is required"),
        ("nonsense", "invalid userId"), ("1-1-1-1-1", "invalid userId"), ("\x00", "invalid userId"),
        ("0f8fad5bd9cb469fa16570867728950e", "invalid userId"), (7, "invalid userId"),
        ("0f8fad5b-d9cb-469f-a165-70867728950e", "user not found"),
    ],
)  # fmt: skip
def test_an_admin_is_told_what_is_wrong(user_id: Any, message: str) -> None:
    body = {} if user_id is None else {"userId": user_id}
    assert code(Api(admin())("POST", KEYS, body)) == (400, message)


def test_an_admin_manages_keys_of_others(user: User) -> None:
    api = Api(admin())
    made = api("POST", KEYS, {"userId": str(user.pk).upper(), "name": "theirs"}).json()
    assert made["userId"] == str(user.pk)
    assert [key["id"] for key in api("GET", f"{KEYS}?userId={user.pk}").json()] == [made["id"]]
    assert api("DELETE", f"{KEYS}?userId={user.pk}&apiKeyId={made['id']}").status_code == 204


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b"\xff"])
def test_a_body_that_is_no_object_is_a_clients_fault(api: Api, body: bytes) -> None:
    assert api("POST", KEYS, body).status_code in {400, 403}
    assert Api(admin())("POST", KEYS, body).status_code == 400


@pytest.mark.parametrize(
    "field",
    [
        {"name": "x" * 101}, {"name": "x" * 10_240}, {"name": "a\u202eb"}, {"name": "a\u0007b"}, {"name": "a\nb"},
        {"name": "a\u2066b"}, {"name": "a\x00b"}, {"name": ["x"]}, {"name": "\ud800"},
        {"expiresAt": "tomorrow"}, {"expiresAt": 7}, {"expiresAt": "9999-99-99T00:00:00Z"},
        {"expiresAt": "0001-01-01T00:00:00+14:00"}, {"expiresAt": "9999-12-31T23:59:59-14:00"},
        {"scopes": []}, {"scopes": ["everything"]}, {"scopes": "inference"}, {"scopes": [7]},
        {"allowedModels": []}, {"allowedModels": "gpt"}, {"allowedModels": [""]}, {"allowedModels": ["\x00"]},
        {"allowedIps": ["203.0.113.1/24"]}, {"allowedIps": ["example.org"]}, {"allowedIps": []},
        {"budget": 0}, {"budget": -1}, {"budget": 1.5}, {"budget": True}, {"budget": 10**19}, {"budget": "x"},
        {"orgId": "x"}, {"orgId": "0f8fad5b-d9cb-469f-a165-70867728950e"},
        {"is_admin": True}, {"isAdmin": True}, {"is_staff": True}, {"roles": ["ADMIN"]}, {"role": "ADMIN"},
        {"digest": "0" * 64}, {"owner": "x"}, {"owner_id": "x"}, {"org_id": "x"}, {"id": "0123456789"},
        {"last_used_at": None}, {"revokedAt": None}, {"replaced_by": None}, {"budget_id": "0123456789"},
    ],
    ids=repr,
)  # fmt: skip
def test_bad_fields_are_refused_and_nothing_is_made(user: User, api: Api, field: dict[str, Any]) -> None:
    answer = api("POST", KEYS, {"userId": str(user.pk), **field})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"].split(".")[0] == next(iter(field))
    assert not ApiKey.objects.exists()


def test_fields_that_mean_nothing_are_ignored_and_past_expiry_is_accepted(user: User, api: Api) -> None:
    body = {"userId": str(user.pk), "name": "<b>ünï</b> 日本", "colour": "red", "expiresAt": "2020-01-01T00:00:00Z"}
    made = api("POST", KEYS, body).json()
    assert (made["name"], made["expiresAt"]) == ("<b>ünï</b> 日本", "2020-01-01T00:00:00Z")
    with pytest.raises(InvalidCredential):
        find_key(made["apiKey"])


def test_a_user_has_so_many_keys_and_no_more(user: User, api: Api, settings: Settings) -> None:
    settings.KEYS_PER_USER = 3
    body = {"userId": str(user.pk)}
    assert [api("POST", KEYS, body).status_code for _ in range(4)] == [201, 201, 201, 400]
    api("DELETE", f"{KEYS}?userId={user.pk}&apiKeyId={ApiKey.objects.first().pk}")  # type: ignore[union-attr]
    assert api("POST", KEYS, body).status_code == 201


def test_an_organisation_pays_for_members_keys_only(user: User, api: Api) -> None:
    org = open_organisation("engines", "Analytical Engines")
    body = {"userId": str(user.pk), "orgId": str(org.pk)}
    strange = api("POST", KEYS, body).json()
    unknown = api("POST", KEYS, body | {"orgId": str(uuid4())}).json()
    assert strange["errors"] == unknown["errors"], "nobody learns which organisations there are"
    join(org, user.pk)
    made = api("POST", KEYS, body).json()
    assert made["orgId"] == str(org.pk)
    assert find_key(made["apiKey"]).org_id == org.pk


def test_a_list_is_newest_first_without_texts_or_revoked_keys(user: User, api: Api) -> None:
    made = [create_api_key(user, f"k{number}") for number in range(4)]
    create_api_key(new_user(), "another's")
    api("DELETE", f"{KEYS}?userId={user.pk}&apiKeyId={made[1][0].pk}")
    answer = api("GET", f"{KEYS}?userId={user.pk}")
    listed = answer.json()
    assert {key["name"] for key in listed} == {"k0", "k2", "k3"}
    assert {"id", "name", "createdAt", "expiresAt"} <= set(listed[0])
    assert [key["createdAt"] for key in listed] == sorted((key["createdAt"] for key in listed), reverse=True)
    assert all(text[53:85] not in answer.content.decode() for _, text in made)
    first = api("GET", f"{KEYS}?userId={user.pk}&limit=2").json()
    rest = api("GET", f"{KEYS}?userId={user.pk}&limit=2&cursor={first[-1]['id']}").json()
    assert first + rest == listed


def test_refusals_of_a_list(user: User, api: Api) -> None:
    boss = Api(admin())
    assert code(api("GET", KEYS)) == code(boss("GET", KEYS)) == (400, "userId is required")
    assert [api("GET", f"{KEYS}?userId={text}").status_code for text in ("", "x", str(uuid4()))] == [403] * 3
    assert code(boss("GET", f"{KEYS}?userId=%20")) == (400, "userId is required")
    assert code(boss("GET", f"{KEYS}?userId=x")) == (400, "invalid userId")
    assert boss("GET", f"{KEYS}?userId={uuid4()}").json() == []
    for query in (
        "limit=0",
        "limit=201",
        "limit=x",
        "limit=-1",
        "limit=%D9%A1",
        "cursor=x",
        "cursor=%00",
        "cursor=0123456789",
    ):
        assert api("GET", f"{KEYS}?userId={user.pk}&{query}").status_code == 400, query


def test_a_revoked_key_is_gone(user: User, api: Api) -> None:
    key, text = create_api_key(user, "laptop")
    path = f"{KEYS}?userId={user.pk}&apiKeyId={key.pk}"
    answer = api("DELETE", path)
    assert (answer.status_code, answer.content) == (204, b"")
    with pytest.raises(InvalidCredential):
        find_key(text)
    assert code(api("DELETE", path)) == (404, "api key not found")


def test_refusals_of_a_revocation(user: User, api: Api) -> None:
    theirs, text = create_api_key(new_user(), "another's")
    assert code(api("DELETE", f"{KEYS}?userId={user.pk}")) == (400, "apiKeyId is required")
    assert code(api("DELETE", f"{KEYS}?userId={user.pk}&apiKeyId=%20")) == (400, "apiKeyId is required")
    assert code(api("DELETE", f"{KEYS}?apiKeyId={theirs.pk}")) == (400, "userId is required")
    assert api("DELETE", f"{KEYS}?userId={theirs.owner_id}&apiKeyId={theirs.pk}").status_code == 403
    for key_id in (theirs.pk, "0123456789", "x", "%00", str(uuid4()), "x" * 5000):
        assert code(api("DELETE", f"{KEYS}?userId={user.pk}&apiKeyId={key_id}")) == (404, "api key not found")
    assert find_key(text).id == theirs.pk


def test_validate_says_whose_key_it_is(user: User) -> None:
    _, text = create_api_key(user, "laptop")
    answer = Api(None)("GET", f"{KEYS}/validate", **{"X-Api-Key": f"  {text} "})
    assert answer.status_code == 200
    assert answer.json() == {"userId": str(user.pk), "name": "laptop", "expiresAt": None, "roles": ["USER"]}


def test_validate_refuses_in_the_contracts_words(user: User) -> None:
    key, text = create_api_key(user, "laptop")
    nobody = Api(None)

    def validate(presented: str) -> tuple[int, str]:
        return code(nobody("GET", f"{KEYS}/validate", **{"X-Api-Key": presented}))

    assert code(nobody("GET", f"{KEYS}/validate")) == validate("  ") == (401, "api key is required")
    assert validate("junk") == validate(text[:-1] + ("0" if text[-1] != "0" else "1")) == (401, "invalid api key")
    ApiKey.objects.filter(pk=key.pk).update(expires_at=Now() - timedelta(milliseconds=1))
    assert validate(text) == (401, "api key expired")
    ApiKey.objects.filter(pk=key.pk).update(revoked_at=Now())
    assert validate(text) == (401, "invalid api key")


def test_a_key_manages_keys_with_the_scope_only_and_gives_no_more_than_it_has(user: User) -> None:
    body = {"userId": str(user.pk)}
    plain, _ = create_api_key(user, "plain")
    refused = Api(with_key(user, plain.pk, *KEY_SCOPES))("POST", KEYS, body)
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    manager, _ = create_api_key(user, "manager", scopes={INFERENCE, KEYS_MANAGE})
    api = Api(with_key(user, manager.pk, INFERENCE, KEYS_MANAGE))
    assert api("POST", KEYS, body).json()["scopes"] == [INFERENCE], "the usual ones, as far as it has them"
    assert api("POST", KEYS, body | {"scopes": [KEYS_MANAGE]}).status_code == 201
    refused = api("POST", KEYS, body | {"scopes": [TOKENS_READ]})
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")


@pytest.mark.parametrize(
    "limit", [{"allowed_models": ["gpt-4o"]}, {"allowed_networks": ["203.0.113.7"]}, {"budget": 5}], ids=repr
)
def test_a_limited_key_cannot_make_itself_one_without_limits(user: User, limit: dict[str, Any]) -> None:
    key, _ = create_api_key(user, "limited", scopes=ALL_SCOPES, **limit)
    other, _ = create_api_key(user, "other")
    api = Api(with_key(user, key.pk, *ALL_SCOPES))
    for method, path in (("POST", KEYS), ("PATCH", f"{KEYS}/{key.pk}"), ("POST", f"{KEYS}/{other.pk}/rotate")):
        refused = api(method, path, {"userId": str(user.pk)} if path == KEYS else {})
        assert (refused.status_code, refused.json()["code"]) == (403, "limited_key")


def test_a_key_of_an_organisation_stays_within_it(user: User) -> None:
    org = open_organisation("engines", "Analytical Engines")
    join(org, user.pk)
    bound, _ = create_api_key(user, "bound", org_id=org.pk, scopes=ALL_SCOPES)
    own, _ = create_api_key(user, "own")
    api = Api(with_key(user, bound.pk, *ALL_SCOPES, org_id=org.pk))
    assert [key["id"] for key in api("GET", f"{KEYS}?userId={user.pk}").json()] == [bound.pk]
    assert api("DELETE", f"{KEYS}?userId={user.pk}&apiKeyId={own.pk}").status_code == 404
    assert api("GET", f"{KEYS}/{own.pk}").status_code == 404
    assert api("POST", KEYS, {"userId": str(user.pk)}).json()["orgId"] == str(org.pk)
    assert api("POST", KEYS, {"userId": str(user.pk), "orgId": str(uuid4())}).status_code == 400


def test_every_change_is_in_the_audit_trail_without_secrets(user: User, api: Api) -> None:
    made = api("POST", KEYS, {"userId": str(user.pk), "name": "laptop"}).json()
    api("PATCH", f"{KEYS}/{made['id']}", {"name": "desk"})
    rotated = api("POST", f"{KEYS}/{made['id']}/rotate", {}).json()
    api("DELETE", f"{KEYS}?userId={user.pk}&apiKeyId={rotated['id']}")
    trail = list(Entry.objects.filter(subject_kind="api_key").order_by("id"))
    assert [entry.action for entry in trail] == [
        "api_key.created", "api_key.changed", "api_key.created", "api_key.rotated", "api_key.revoked",
    ]  # fmt: skip
    assert (trail[1].before, trail[1].after) == ({"name": "laptop"}, {"name": "desk"})
    assert trail[3].after["replaced_by"] == rotated["id"]
    assert trail[4].before == {"revoked_at": None}
    assert {(entry.actor_id, entry.ip) for entry in trail} == {(str(user.pk), "203.0.113.7")}
    assert all(entry.request_id for entry in trail)
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(e::text, ' ') FROM audit_entry e")
        written = cursor.fetchone()[0]
    digests = ApiKey.objects.filter(owner=user).values_list("digest", flat=True)
    assert not any(secret in written for secret in (made["apiKey"][53:], rotated["apiKey"][53:], *digests))
