"""Signing in for an application, and letting it act: by the keyboard alone, at both sizes, and back to its address."""

import base64
import hashlib
import secrets
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

import pytest

from apps.accounts.models import Application
from tests.browser.people import Person, Services, Tab
from tests.browser.test_account_pages import EVERY_WAY, looked_at, running, tab

__all__ = ["running", "tab"]


@pytest.fixture
def application(running: Services, committed: None) -> Application:
    """An application that people sign in with. Its address is another origin, so that browsers apply our policy."""
    return Application.objects.create(
        name=f"Robot kitchen {uuid4().hex[:6]}",
        client_type=Application.CLIENT_PUBLIC,
        authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
        redirect_uris=f"{running.elsewhere}/livez",
        allowed_scopes=["inference", "tokens:read"],
        algorithm="RS256",
    )


def request_of(application: Application) -> str:
    """The path to which the application sends a browser."""
    challenge = hashlib.sha256(secrets.token_urlsafe(48).encode()).digest()
    query = {
        "response_type": "code", "client_id": application.client_id, "redirect_uri": application.redirect_uris,
        "scope": "openid inference tokens:read", "state": "s1", "nonce": "n1", "code_challenge_method": "S256",
        "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
    }  # fmt: skip
    return f"/oauth2/authorize?{urlencode(query)}"


def came_back(tab: Tab, application: Application) -> dict[str, list[str]]:
    """What the application was told, once the browser is at its address."""
    tab.page.wait_for_url(f"{application.redirect_uris}?*")
    return parse_qs(urlsplit(tab.page.url).query)


def test_an_application_is_allowed_by_the_keyboard_alone(tab: Tab, application: Application) -> None:
    person = Person.new()
    tab.sign_up(person)
    tab.page.context.clear_cookies()

    tab.page.goto(tab.services.url + request_of(application))
    tab.page.keyboard.type(person.name)
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.type(person.password)
    with tab.page.expect_navigation():
        tab.page.keyboard.press("Enter")
    assert tab.heading() == f"Allow {application.name}?"
    tab.reach("Allow")
    tab.page.keyboard.press("Enter")

    told = came_back(tab, application)
    assert (told["state"], told["iss"], "code" in told) == (["s1"], [tab.services.url], True)


def test_an_application_is_refused(tab: Tab, application: Application) -> None:
    tab.sign_up(Person.new())

    tab.page.goto(tab.services.url + request_of(application))
    tab.page.get_by_role("button", name="Deny").click()

    assert came_back(tab, application)["error"] == ["access_denied"]


@pytest.mark.parametrize("tab", EVERY_WAY, indirect=True)
def test_consent_and_its_errors_fit_their_screen_and_shut_nobody_out(tab: Tab, application: Application) -> None:
    tab.sign_up(Person.new())

    tab.page.goto(tab.services.url + request_of(application))
    assert tab.page.locator(".scopes li").count() == 3
    looked_at(tab)

    tab.page.goto(tab.services.url + request_of(application).replace("livez", "elsewhere"))
    assert tab.heading() == "This cannot be done"
    looked_at(tab)

    tab.page.goto(f"{tab.services.url}/oauth2/logout")
    assert tab.heading() == "Sign out?"
    looked_at(tab)
