"""Passwords changed and reset, addresses proved: links work once, and nobody learns whose address is known."""

import re
import time
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail as outgoing
from django.core import signing
from django.core.cache import cache
from prometheus_client import REGISTRY
from pytest_django import Settings

from apps.accounts import mail
from apps.accounts.api import open_user
from apps.accounts.models import User
from apps.core.errors import InvalidCredential
from tests.integration.accounts.through_gateway import Answer, call, found

pytestmark = [pytest.mark.django_db, pytest.mark.urls("apps.accounts.rest.urls")]

ADDRESS, PASSWORD, NEW = "ada@example.test", "password123", "another password"


@pytest.fixture
def ada(settings: Settings) -> User:
    settings.SERVICES = ["auth"]
    cache.clear()
    return open_user("ada", ADDRESS, PASSWORD)


@pytest.fixture
def signed_in(ada: User) -> dict[str, Any]:
    return dict(_login(PASSWORD).json)


def _login(password: str) -> Answer:
    return call("POST", "/login", {"username": "ada", "password": password})


def _mails(number: int) -> list[Any]:
    """The mails sent so far, once there are so many: they are sent beside the request."""
    deadline = time.monotonic() + 5
    while len(outgoing.outbox) < number:
        assert time.monotonic() < deadline, "no mail"
        time.sleep(0.005)
    return list(outgoing.outbox)


def _link(message: Any, page: str) -> str:
    found_link = re.search(rf"http://127\.0\.0\.1:8080/account/{page}\?token=(\S+)", message.body)
    assert found_link, message.body
    return found_link[1]


def _asked_for_reset(number: int = 1) -> str:
    assert call("POST", "/password-reset", {"email": " ADA@example.test"}).status == 202
    return _link(_mails(number)[-1], "reset")


def test_a_changed_password_ends_everything_else(signed_in: dict[str, Any]) -> None:
    elsewhere = _login(PASSWORD).json
    body = {"currentPassword": PASSWORD, "newPassword": NEW}
    answer = call("POST", "/password", body, token=signed_in["token"])
    assert answer.status == 200
    for dead in (signed_in["token"], elsewhere["token"]):
        with pytest.raises(InvalidCredential):
            found(dead)
    assert found(answer.json["token"]).id
    assert call("POST", "/refresh", {"refreshToken": elsewhere["refreshToken"]}).status == 401
    assert call("POST", "/refresh", {"refreshToken": signed_in["refreshToken"]}).status == 200
    assert (_login(PASSWORD).status, _login(NEW).status) == (401, 200)


@pytest.mark.parametrize(("current", "new", "field"), [
    ("wrong", NEW, "currentPassword"), (PASSWORD, "short", "newPassword"), (PASSWORD, "p" * 129, "newPassword"),
])  # fmt: skip
def test_what_is_no_change(signed_in: dict[str, Any], current: str, new: str, field: str) -> None:
    answer = call("POST", "/password", {"currentPassword": current, "newPassword": new}, token=signed_in["token"])
    assert (answer.status, answer.json["errors"][0]["field"]) == (400, field)
    assert found(signed_in["token"])


def test_a_stolen_token_does_not_guess_the_password(signed_in: dict[str, Any]) -> None:
    body = {"currentPassword": "wrong", "newPassword": NEW}
    tries = [call("POST", "/password", body, token=signed_in["token"]).status for _ in range(6)]
    assert tries == [400] * 4 + [429] * 2


def test_a_forgotten_password_is_set_once(signed_in: dict[str, Any]) -> None:
    token = _asked_for_reset()
    weak = call("POST", "/password-reset/confirm", {"token": token, "newPassword": "short"})
    assert (weak.status, weak.json["errors"][0]["field"]) == (400, "newPassword")
    good = {"token": token, "newPassword": NEW}
    assert call("POST", "/password-reset/confirm", good).status == 204
    again = call("POST", "/password-reset/confirm", good | {"newPassword": "a third password"})
    assert (again.status, again.json["errors"][0]["field"]) == (400, "token")
    assert (_login(PASSWORD).status, _login(NEW).status) == (401, 200)
    with pytest.raises(InvalidCredential):
        found(signed_in["token"])
    assert User.objects.get(username="ada").email_verified, "whoever has the mail has the address"


def test_a_link_is_good_for_an_hour_and_for_its_purpose(ada: User) -> None:
    token = mail.token_for(mail.RESET, ada)
    link = mail.opened(mail.RESET, token)
    assert link is not None
    assert (link.user_id, mail.fits(link, mail.RESET, ada)) == (ada.pk, True)
    assert mail.opened(mail.VERIFY, token) is None
    assert mail.VALID[mail.RESET] == timedelta(hours=1)
    with pytest.raises(signing.SignatureExpired):
        signing.loads(token, salt="leaky.mail.reset", max_age=timedelta(0))


@pytest.mark.parametrize("token", ["x", "a:b:c", "", "x" * 2000])
def test_what_is_no_link(ada: User, token: str) -> None:
    assert call("POST", "/password-reset/confirm", {"token": token, "newPassword": NEW}).status == 400
    assert call("POST", "/verify-email", {"token": token}).status == 400


def test_nobody_learns_whose_address_is_known(ada: User) -> None:
    known, unknown = (call("POST", "/password-reset", {"email": name}) for name in (ADDRESS, "nobody@example.test"))
    assert (known.status, known.json) == (unknown.status, unknown.json)
    assert [message.to for message in _mails(1)] == [[ADDRESS]]


def test_a_mailbox_is_not_flooded(ada: User) -> None:
    _asked_for_reset()
    assert call("POST", "/password-reset", {"email": ADDRESS}).status == 202
    assert call("POST", "/password-reset", {"email": ADDRESS}).status == 202
    assert len(_mails(1)) == 1


def test_an_address_is_proved_once(ada: User) -> None:
    call("POST", "/register", {"username": "bob", "email": "bob@example.test", "password": PASSWORD})
    token = _link(_mails(1)[0], "verify")
    answer = call("POST", "/verify-email", {"token": token})
    assert (answer.status, answer.json) == (200, {"email": "bob@example.test", "emailVerified": True})
    assert call("POST", "/verify-email", {"token": token}).status == 400
    assert not User.objects.get(username="ada").email_verified


def test_the_link_is_sent_again_until_it_is_used(signed_in: dict[str, Any]) -> None:
    assert call("POST", "/verify-email/resend", token=signed_in["token"]).status == 202
    assert call("POST", "/verify-email", {"token": _link(_mails(1)[0], "verify")}).status == 200
    cache.clear()
    assert call("POST", "/verify-email/resend", token=signed_in["token"]).status == 202
    assert len(_mails(1)) == 1


def test_a_mail_server_that_is_away_stops_nobody(ada: User, settings: Settings) -> None:
    settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = (
        "django.core.mail.backends.smtp.EmailBackend",
        "127.0.0.1",
        1,
    )
    before = _failed()
    body = {"username": "bob", "email": "bob@example.test", "password": PASSWORD}
    assert call("POST", "/register", body).status == 201
    deadline = time.monotonic() + 5
    while _failed() == before:
        assert time.monotonic() < deadline, "not counted"
        time.sleep(0.005)


def _failed() -> float:
    return REGISTRY.get_sample_value("leaky_mails_total", {"template": "verify", "result": "failed"}) or 0
