"""Sign-up and sign-in over HTTP, as the original's clients know them, and the life of the tokens."""

import json
from base64 import urlsafe_b64decode
from typing import Any

import pytest
from django.db import connection
from django.db.models import Q
from pytest_django import Settings

from apps.accounts.api import open_user
from apps.accounts.models import User
from apps.accounts.services import grant_role
from apps.audit.models import Entry
from apps.config.api import CREDENTIALS, versions
from apps.core.errors import InvalidCredential
from apps.core.http.caller import ADMIN
from tests.integration.accounts.through_gateway import Answer, call, found

pytestmark = [pytest.mark.django_db, pytest.mark.urls("apps.accounts.rest.urls")]

ADA = {"username": "ada", "email": "Ada@Example.test", "password": "password123"}


@pytest.fixture(autouse=True)
def as_auth(settings: Settings) -> None:
    settings.SERVICES = ["auth"]


@pytest.fixture
def ada() -> dict[str, Any]:
    answer = call("POST", "/register", ADA)
    assert answer.status == 201, answer.json
    return dict(answer.json)


def _says(answer: Answer, status: int, message: str) -> None:
    assert (answer.status, answer.json["message"]) == (status, message), answer.json


def _part(token: str, index: int) -> dict[str, Any]:
    text = token.split(".")[index]
    return dict(json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4))))


def test_registering_signs_in(ada: dict[str, Any]) -> None:
    user = User.objects.get(username="ada")
    assert set(ada) == {"userId", "username", "token", "roles", "email", "createdAt", "expiresAt", "refreshToken"}
    assert (ada["userId"], ada["username"], ada["roles"]) == (str(user.pk), "ada", ["USER"])
    assert ada["email"] == "ada@example.test", "addresses are kept in lower case"
    assert ada["createdAt"].endswith("Z")
    assert ada["expiresAt"].endswith("Z")
    assert call("GET", "/me", token=ada["token"]).json == {
        "userId": str(user.pk), "username": "ada", "email": "ada@example.test", "emailVerified": False,
        "roles": ["USER"], "createdAt": ada["createdAt"],
    }  # fmt: skip


def test_the_token_says_what_the_contract_says(ada: dict[str, Any]) -> None:
    grant_role(User.objects.get(username="ada"), ADMIN)
    answer = call("POST", "/login", {"username": "ada", "password": ADA["password"]}).json
    header, claims = _part(answer["token"], 0), _part(answer["token"], 1)
    assert (set(header), header["alg"], header["typ"]) == ({"alg", "typ", "kid"}, "RS256", "at+jwt")
    assert set(claims) == {"sub", "iss", "aud", "exp", "iat", "jti", "tv", "sid", "roles"}
    assert (claims["sub"], claims["iss"], claims["roles"]) == (ada["userId"], "leaky-tokens-auth", ["ADMIN", "USER"])
    assert claims["exp"] - claims["iat"] == 3600
    assert _part(answer["refreshToken"], 0)["typ"] == "rt+jwt"
    with pytest.raises(InvalidCredential):
        found(answer["refreshToken"])


@pytest.mark.parametrize("body", [
    {}, {"username": "ada"}, {**ADA, "username": None}, {**ADA, "email": None}, {**ADA, "password": None},
    {**ADA, "password": ""}, {**ADA, "password": "   "},
])  # fmt: skip
def test_what_is_missing_at_registration(body: dict[str, Any]) -> None:
    _says(call("POST", "/register", body), 400, "username, email, and password are required")


@pytest.mark.parametrize(("change", "message"), [
    ({"username": "ada", "email": "other@example.test"}, "username already exists"),
    ({"username": "  ada ", "email": "other@example.test"}, "username already exists"),
    ({"username": "eve"}, "email already exists"),
    ({"username": "eve", "email": " ADA@EXAMPLE.TEST "}, "email already exists"),
    ({"username": "e" * 51, "email": "e@example.test"}, "username must have 1 to 50 characters"),
    ({"username": "a\u202eda", "email": "e@example.test"}, "username must not contain control characters"),
    ({"username": "a\u0007da", "email": "e@example.test"}, "username must not contain control characters"),
    ({"username": "eve", "email": "e" * 89 + "@example.test"}, "email must have at most 100 characters"),
    ({"username": "eve", "email": "eve"}, "email must be a valid address"),
    ({"username": "eve", "email": "e@example.test", "password": "short"},
     "This password is too short. It must contain at least 8 characters."),
    ({"username": "eve", "email": "e@example.test", "password": "p" * 129},
     "This password is too long. It may have at most 128 characters."),
])  # fmt: skip
def test_what_cannot_be_registered(change: dict[str, str], message: str) -> None:
    open_user("ada", "ada@example.test", "password123")
    _says(call("POST", "/register", ADA | change), 400, message)
    assert not User.objects.filter(Q(username="eve") | Q(email="e@example.test")).exists()


@pytest.mark.parametrize("name", ["is_admin", "isAdmin", "is_staff", "isSuperuser", "roles", "role", "token_version"])
def test_nobody_registers_with_rights(name: str) -> None:
    assert call("POST", "/register", ADA | {name: True}).status == 400
    assert not User.objects.filter(username="ada").exists()


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'{"username":"\\u0000","password":"x"}', b'{"username":[]}'])
def test_what_cannot_be_read_is_400(body: bytes) -> None:
    assert call("POST", "/register", body).status == 400
    assert call("POST", "/login", body).status == 400


@pytest.mark.parametrize("password", ["password", "password123"])
def test_the_originals_passwords_do(password: str) -> None:
    assert call("POST", "/register", ADA | {"password": password, "unknown": 1}).status == 201


def test_missing_and_wrong_at_sign_in(ada: dict[str, Any]) -> None:
    for body in ({}, {"username": "ada"}, {"username": None, "password": "x"}, {"username": "ada", "password": " "}):
        _says(call("POST", "/login", body), 401, "username and password are required")
    _says(call("POST", "/login", {"username": "ada", "password": "wrong wrong"}), 401, "invalid credentials")
    _says(call("POST", "/login", {"username": "x" * 10_000, "password": "wrong"}), 401, "invalid credentials")


def test_nobody_learns_why(ada: dict[str, Any]) -> None:
    open_user("gone", "gone@example.test", "password123")
    User.objects.filter(username="gone").update(is_active=False)
    open_user("robot", "robot@example.test", "password123")
    User.objects.filter(username="robot").update(kind=User.Kind.SERVICE)
    tries = [("nobody", "password123"), ("ada", "wrong"), ("gone", "password123"), ("robot", "password123")]
    answers = [call("POST", "/login", {"username": name, "password": word}) for name, word in tries]
    alike = {(answer.status, json.dumps(answer.json | {"timestamp": "", "correlationId": ""})) for answer in answers}
    assert len(alike) == 1, alike


def test_a_locked_name_says_when(ada: dict[str, Any]) -> None:
    for name in ("ada", "nobody"):
        answers = [call("POST", "/login", {"username": name, "password": "wrong"}) for _ in range(6)]
        assert [answer.status for answer in answers] == [401] * 4 + [429] * 2
        assert 50 <= int(answers[-1].headers["Retry-After"]) <= 60
        assert answers[-1].json["code"] == "locked_out"


def test_refreshing_rotates_and_a_used_token_ends_the_session(ada: dict[str, Any]) -> None:
    second = call("POST", "/refresh", {"refreshToken": ada["refreshToken"]}).json
    third = call("POST", "/refresh", {"refreshToken": second["refreshToken"]}).json
    assert len({ada["refreshToken"], second["refreshToken"], third["refreshToken"]}) == 3
    assert found(third["token"]).id == found(ada["token"]).id
    before = versions().get(CREDENTIALS, 0)
    assert call("POST", "/refresh", {"refreshToken": ada["refreshToken"]}).status == 401
    assert versions().get(CREDENTIALS, 0) == before + 1
    assert call("POST", "/refresh", {"refreshToken": third["refreshToken"]}).status == 401
    with pytest.raises(InvalidCredential):
        found(third["token"])
    assert (
        Entry.objects.get(action="session.ended", subject_id=_part(third["token"], 1)["sid"]).reason
        == "a refresh token was used twice"
    )


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "x" * 9000])
def test_what_is_no_refresh_token(ada: dict[str, Any], text: str) -> None:
    assert call("POST", "/refresh", {"refreshToken": text}).status in {400, 401}
    assert call("POST", "/refresh", {"refreshToken": ada["token"]}).status == 401, "an access token is none"


def test_logout_ends_this_session_and_everywhere_all(ada: dict[str, Any]) -> None:
    login = {"username": "ada", "password": ADA["password"]}
    here, there, third = (call("POST", "/login", login).json for _ in range(3))
    assert call("POST", "/logout", token=here["token"]).status == 204
    with pytest.raises(InvalidCredential):
        found(here["token"])
    assert call("POST", "/refresh", {"refreshToken": here["refreshToken"]}).status == 401
    assert call("POST", "/logout", {"everywhere": True, "other": 1}, token=there["token"]).status == 400
    assert call("POST", "/logout", {"everywhere": True}, token=there["token"]).status == 204
    for answer in (ada, there, third):
        with pytest.raises(InvalidCredential):
            found(answer["token"])
        assert call("POST", "/refresh", {"refreshToken": answer["refreshToken"]}).status == 401
    assert found(call("POST", "/login", login).json["token"]).roles == ("USER",)


def test_it_works_on_connections_that_see_nobodys_rows() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('leaky.scope', 'tenant', true), set_config('leaky.user', '', true)")
    assert call("POST", "/register", ADA).status == 201
    answer = call("POST", "/login", {"username": "ada", "password": ADA["password"]})
    assert call("POST", "/refresh", {"refreshToken": answer.json["refreshToken"]}).status == 200
