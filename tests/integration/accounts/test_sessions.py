"""Where a user is signed in: listed, ended elsewhere, forgotten in time; and the keys that sign, replaced in time."""

from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path
from pytest_django import Settings

from apps.accounts import signing
from apps.accounts.api import (
    Visitor,
    begin_browser_session,
    end_session,
    find_user,
    finish_browser_session,
    open_user,
    published_keys,
    purge_sessions,
    rotate_if_old,
)
from apps.accounts.models import Session, SigningKey, User
from apps.accounts.services import save_user, set_roles
from apps.accounts.sessions import KEPT_AFTER
from apps.audit.models import Entry
from apps.core.errors import InvalidCredential
from tests.integration.accounts.through_gateway import call, found

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.accounts.test_sessions")]

HERE = Visitor("203.0.113.7", "a browser")
PASSWORD = "password123"


def _enter(request: HttpRequest) -> HttpResponse:
    begin_browser_session(request, find_user("ada"), HERE)
    return HttpResponse()


def _leave(request: HttpRequest) -> HttpResponse:
    finish_browser_session(request)
    return HttpResponse()


def _who(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username())


urlpatterns = [
    path("", include("apps.accounts.rest.urls")),
    path("enter", _enter),
    path("leave", _leave),
    path("who", _who),
]


@pytest.fixture
def ada(settings: Settings) -> User:
    settings.SERVICES = ["auth"]
    return open_user("ada", "ada@example.test", PASSWORD)


@pytest.fixture
def token(ada: User) -> str:
    return _login("ada")


def _login(name: str) -> str:
    return str(call("POST", "/login", {"username": name, "password": PASSWORD}).json["token"])


def test_a_user_sees_their_own_open_sessions(ada: User, token: str) -> None:
    open_user("eve", "eve@example.test", PASSWORD)
    other, eves = _login("ada"), _login("eve")
    first = call("GET", "/sessions?limit=1", token=token).json
    rest = call("GET", f"/sessions?limit=1&cursor={first['next']}", token=token).json
    assert ([row["current"] for row in first["items"] + rest["items"]], rest["next"]) == ([False, True], None)
    assert rest["items"][0]["ip"] == "203.0.113.7"
    assert rest["items"][0]["userAgent"] == "tests"
    assert call("DELETE", f"/sessions/{found(eves).id}", token=token).status == 404
    assert call("DELETE", f"/sessions/{uuid4()}", token=token).status == 404
    assert call("DELETE", f"/sessions/{found(other).id}", token=token).status == 204
    with pytest.raises(InvalidCredential):
        found(other)
    assert len(call("GET", "/sessions", token=token).json["items"]) == 1
    assert found(eves)


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "1e3"])
def test_pages_have_bounds(token: str, limit: str) -> None:
    assert call("GET", f"/sessions?limit={limit}", token=token).status == 400


def test_nobody_lists_without_signing_in(ada: User) -> None:
    assert call("GET", "/sessions").status == 401


def test_a_browser_session_that_is_ended_elsewhere_is_worth_nothing(ada: User, token: str, client: Client) -> None:
    client.get("/enter")
    assert client.get("/who").content == b"ada"
    session = Session.objects.get(user=ada, kind=Session.Kind.BROWSER)
    assert call("DELETE", f"/sessions/{session.pk}", token=token).status == 204
    assert client.get("/who").content == b""


@pytest.mark.parametrize("over", ["ended_at", "expires_at"])
def test_a_browser_session_ends_with_its_row(ada: User, client: Client, over: str) -> None:
    client.get("/enter")
    Session.objects.update(**{over: Now() - timedelta(seconds=1)})
    assert client.get("/who").content == b""


def test_signing_in_changes_the_cookie_and_out_ends_the_row(ada: User, client: Client) -> None:
    client.get("/enter")
    planted = client.cookies["leaky_session"].value
    client.get("/enter")
    assert client.cookies["leaky_session"].value != planted
    client.get("/leave")
    assert client.get("/who").content == b""
    assert Session.objects.filter(user=ada).count() == 2
    assert not Session.objects.filter(user=ada, ended_at=None).exists(), "also the one that was signed in over"


def _inactive(user: User) -> None:
    user.is_active = False
    save_user(user)


def _new_password(user: User) -> None:
    user.set_password("another password")
    save_user(user)


@pytest.mark.parametrize("change", [_inactive, _new_password])
def test_what_an_operator_does_ends_sessions(ada: User, token: str, client: Client, change: Callable[..., Any]) -> None:
    client.get("/enter")
    change(User.objects.get(pk=ada.pk))
    with pytest.raises(InvalidCredential):
        found(token)
    assert client.get("/who").content == b""
    assert not Session.objects.filter(user=ada, ended_at=None).exists()


def test_other_roles_end_tokens_but_not_sessions(ada: User) -> None:
    answer = call("POST", "/login", {"username": "ada", "password": PASSWORD}).json
    set_roles(ada, [])
    with pytest.raises(InvalidCredential):
        found(answer["token"])
    renewed = call("POST", "/refresh", {"refreshToken": answer["refreshToken"]}).json
    assert renewed["roles"] == []
    assert found(renewed["token"]).roles == ()


def test_a_stale_form_does_not_bring_tokens_back(ada: User, token: str) -> None:
    stale = User.objects.get(pk=ada.pk)
    call("POST", "/logout", {"everywhere": True}, token=token)
    stale.first_name = "Ada"
    save_user(stale)
    assert User.objects.get(pk=ada.pk).token_version == 1


def test_sessions_are_ended_once_and_by_their_user(ada: User, token: str) -> None:
    session = Session.objects.get(user=ada)
    assert not end_session(uuid4(), session.pk)
    assert end_session(ada.pk, session.pk)
    assert not end_session(ada.pk, session.pk)
    assert Entry.objects.filter(action="session.ended", subject_id=str(session.pk)).count() == 1


def test_what_is_long_over_is_forgotten(ada: User, token: str) -> None:
    open_again = _login("ada")
    Session.objects.filter(pk=found(token).id).update(ended_at=Now() - KEPT_AFTER - timedelta(hours=1))
    assert purge_sessions() == 1
    assert str(Session.objects.get(user=ada).pk) == found(open_again).id


def test_a_key_is_replaced_when_it_is_old_and_its_tokens_stay_good(ada: User) -> None:
    SigningKey.objects.all().delete()
    token = _login("ada")
    assert not rotate_if_old(), "it is new"
    old = SigningKey.objects.get()
    SigningKey.objects.update(activates_at=Now() - timedelta(days=91))
    assert rotate_if_old()
    assert not rotate_if_old(), "the next one is there"
    assert len(published_keys()) == 2
    assert signing.signing_key().kid == old.pk, "the next one is published a day before it signs"
    assert found(token)
    call_command("rotate_signing_keys", "--now", stdout=(said := StringIO()))
    assert said.getvalue().startswith(str(signing.signing_key().kid))
    assert found(token), "the old key verifies as long as its tokens live"
    assert found(_login("ada"))
