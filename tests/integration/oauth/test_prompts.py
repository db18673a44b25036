"""What a client may ask of the person: to sign in again, to be asked again, or not to be bothered at all."""

import time
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import requests
from django.conf import settings
from django.test import Client
from django.utils import timezone

from apps.accounts import signing
from apps.accounts.models import Session, User
from apps.accounts.oauth.authorize import SESSION_ID
from tests.integration.oauth.conftest import BACKEND, Party, Register, allow, answer_of, sign_in


def sent_to_sign_in(answer: requests.Response) -> dict[str, str]:
    """The sign-in page's parameters."""
    assert answer.status_code == 303, answer.text
    parts = urlsplit(answer.headers["Location"])
    assert (parts.netloc, parts.path) == ("", "/account/sign-in")
    return {name: value for name, [value] in parse_qs(parts.query).items()}


def opened(browser: requests.Session, address: str) -> requests.Response:
    return browser.get(address, allow_redirects=False, timeout=10)


def test_nobody_signed_in(party: Party, browser: requests.Session) -> None:
    told = sent_to_sign_in(opened(requests.Session(), party.address(login_hint="ada@example.test")))
    assert told["login_hint"] == "ada@example.test"
    assert told["next"].startswith("/oauth2/authorize?")
    assert answer_of(allow(browser, party.server + told["next"]))["state"] == "s-1"


def test_silence_without_sign_in_or_consent(party: Party, browser: requests.Session) -> None:
    assert answer_of(opened(requests.Session(), party.address(prompt="none")))["error"] == "login_required"
    refused = answer_of(opened(browser, party.address(prompt="none")))
    assert (refused["error"], refused["state"]) == ("consent_required", "s-1")
    assert refused["iss"]


def test_silence_after_consent(party: Party, browser: requests.Session) -> None:
    party.tokens(browser, scope="openid inference tokens:read")
    assert answer_of(opened(browser, party.address(prompt="none")))["code"]
    more = answer_of(opened(browser, party.address(prompt="none", scope="openid inference email")))
    assert more["error"] == "consent_required"


def test_consent_is_asked_once_and_on_demand(party: Party, browser: requests.Session, register: Register) -> None:
    party.tokens(browser)
    assert answer_of(opened(browser, party.address()))["code"]
    assert opened(browser, party.address(prompt="consent")).status_code == 200
    assert opened(browser, register().address()).status_code == 200


def test_prompt_login_wants_a_new_sign_in(party: Party, browser: requests.Session, person: User) -> None:
    party.tokens(browser)
    User.objects.filter(pk=person.pk).update(last_login=timezone.now() - timedelta(hours=1))
    told = sent_to_sign_in(opened(browser, party.address(prompt="login")))
    assert sent_to_sign_in(opened(browser, party.server + told["next"]))["next"]
    sign_in(browser, person)
    assert answer_of(opened(browser, party.server + told["next"]))["code"]


@pytest.mark.parametrize(("max_age", "asks"), [("3000", True), ("0", True), ("4000", False)])
def test_max_age(party: Party, browser: requests.Session, person: User, max_age: str, asks: bool) -> None:
    party.tokens(browser)
    User.objects.filter(pk=person.pk).update(last_login=timezone.now() - timedelta(seconds=3600))
    answer = opened(browser, party.address(max_age=max_age))
    if not asks:
        assert answer_of(answer)["code"]
        return
    assert answer_of(opened(browser, party.address(max_age=max_age, prompt="none")))["error"] == "login_required"
    told = sent_to_sign_in(answer)
    sign_in(browser, person)
    assert answer_of(opened(browser, party.server + told["next"]))["code"]


def test_auth_time_is_the_sign_in(party: Party, browser: requests.Session, person: User) -> None:
    signed_in = timezone.now() - timedelta(minutes=7)
    User.objects.filter(pk=person.pk).update(last_login=signed_in)
    claims = jwt.decode(party.tokens(browser)["id_token"], options={"verify_signature": False})
    assert claims["auth_time"] == int(signed_in.timestamp())
    assert abs(claims["iat"] - time.time()) < 10


def test_auth_time_is_that_of_this_browser(party: Party, person: User) -> None:
    User.objects.filter(pk=person.pk).update(last_login=timezone.now())
    opened_at = timezone.now() - timedelta(minutes=9)
    row = Session.objects.create(user=person, kind=Session.Kind.BROWSER, expires_at=timezone.now() + timedelta(days=1))
    Session.objects.filter(pk=row.pk).update(created_at=opened_at)
    client = Client()
    client.force_login(person, backend=BACKEND)
    stored = client.session
    stored[SESSION_ID] = str(row.pk)
    stored.save()
    with requests.Session() as browser:
        browser.cookies.set(settings.SESSION_COOKIE_NAME, str(stored.session_key))
        claims = jwt.decode(party.tokens(browser)["id_token"], options={"verify_signature": False})
    assert claims["auth_time"] == int(opened_at.timestamp())


def test_id_token_hint(party: Party, browser: requests.Session, person: User) -> None:
    hint = party.tokens(browser)["id_token"]
    assert answer_of(opened(browser, party.address(prompt="none", id_token_hint=hint)))["code"]
    other = User.objects.create_user(f"{person.username}-2", f"2-{person.email}", "a long enough password")
    sign_in(browser, other)
    assert answer_of(opened(browser, party.address(id_token_hint=hint)))["error"] == "login_required"
    for bad in ("x", "a.b.c", hint[:-4] + "AAAA", party.secret):
        assert answer_of(opened(browser, party.address(id_token_hint=bad)))["error"] == "login_required"


def test_keys_rotate_in_the_middle_of_a_flow(party: Party, browser: requests.Session) -> None:
    before = party.tokens(browser)
    code = party.code(browser, scope="openid inference offline_access")
    signing.rotate(lead=timedelta(0))
    after = party.exchange(code).json()
    kids = [jwt.get_unverified_header(told["id_token"])["kid"] for told in (before, after)]
    assert kids[0] != kids[1]
    for told in (before, after):
        headers = {"Authorization": f"Bearer {told['access_token']}"}
        assert requests.get(f"{party.server}/oauth2/userinfo", headers=headers, timeout=10).status_code == 200
        assert party.post("introspect", token=told["access_token"]).json()["active"] is True
        assert answer_of(opened(browser, party.address(prompt="none", id_token_hint=told["id_token"])))["code"]
    refreshed = party.post("token", grant_type="refresh_token", refresh_token=before["refresh_token"])
    assert refreshed.status_code == 200


def test_inactive_person_is_nobody(party: Party, browser: requests.Session, person: User) -> None:
    User.objects.filter(pk=person.pk).update(is_active=False)
    sent_to_sign_in(opened(browser, party.address()))


# Sign-out


def test_logout_with_a_hint(party: Party, browser: requests.Session) -> None:
    told = party.tokens(browser)
    query = f"id_token_hint={told['id_token']}&post_logout_redirect_uri=https://app.example/bye&state=s"
    answer = opened(browser, f"{party.server}/oauth2/logout?{query}")
    assert (answer.status_code, answer.headers["Location"]) == (303, "https://app.example/bye?state=s")
    sent_to_sign_in(opened(browser, party.address()))
    late = party.post("token", grant_type="refresh_token", refresh_token=told["refresh_token"])
    assert late.json()["error"] == "invalid_grant"


def test_logout_without_a_hint_asks(party: Party, browser: requests.Session) -> None:
    address = f"{party.server}/oauth2/logout?client_id={party.client.client_id}"
    assert opened(browser, address).status_code == 200
    assert opened(browser, party.address()).status_code == 200
    form = {"csrfmiddlewaretoken": browser.cookies[settings.CSRF_COOKIE_NAME], "allow": "true"}
    answer = browser.post(address, data=form, allow_redirects=False, timeout=10)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/account/sign-in")


@pytest.mark.parametrize(
    "query",
    [
        "client_id=unknown", "id_token_hint=x", "post_logout_redirect_uri=https://app.example/bye",
        "client_id={id}&post_logout_redirect_uri=https://evil.example/", "client_id=%00",
        "client_id={id}&post_logout_redirect_uri=https://app.example/bye/x",
    ],
)  # fmt: skip
def test_bad_logout_gets_a_page(party: Party, browser: requests.Session, query: str) -> None:
    answer = opened(browser, f"{party.server}/oauth2/logout?{query.format(id=party.client.client_id)}")
    assert (answer.status_code, "Location" in answer.headers) == (400, False)
