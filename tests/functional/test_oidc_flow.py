"""OpenID Connect through the gateway, from discovery to sign-out, by libraries that are not ours.

The services behind the gateway see only the caller's rows here, as in production (RELIABILITY.md S16 to S19, row 101).
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

import httpx
import jwt
import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt as jose
from joserfc.jwk import KeySet

from apps.accounts.api import open_client, sessions_for
from apps.accounts.models import Session, User
from apps.core.http.caller import INFERENCE, TOKENS_READ
from tests.functional.payers import eventually
from tests.functional.relying_party import (
    AFTER_LOGOUT,
    CALLBACK,
    PASSWORD,
    Browser,
    RelyingParty,
    come_in,
    new_person,
    register,
)

pytestmark = pytest.mark.usefixtures("committed")

AUDIENCE = "leaky-tokens"


@pytest.fixture
def person(gateway_url: str, committed: None) -> User:
    return new_person(gateway_url)


@pytest.fixture
def browser(gateway_url: str) -> Iterator[Browser]:
    with Browser(gateway_url) as browser:
        yield browser


@pytest.fixture
def party(gateway_url: str, committed: None) -> RelyingParty:
    return register(gateway_url)


def ask(gateway_url: str, path: str, token: str) -> httpx.Response:
    return httpx.get(f"{gateway_url}{path}", headers={"authorization": f"Bearer {token}"})


def is_dead(gateway_url: str, token: str) -> bool:
    return ask(gateway_url, "/v1/models", token).status_code == 401


def in_browsers(person: User) -> int:
    """Open sessions in browsers."""
    return sessions_for(person.pk).filter(kind=Session.Kind.BROWSER).count()


def test_discovery_names_public_addresses_only(gateway_url: str, party: RelyingParty) -> None:
    addresses = {value for name, value in party.metadata.items() if name.endswith(("_endpoint", "_uri"))}

    assert party.metadata["issuer"] == gateway_url
    assert len(addresses) >= 7
    assert [address for address in addresses if not address.startswith(f"{gateway_url}/oauth2/")] == []
    statuses = {httpx.get(address).status_code for address in addresses}
    assert statuses <= {200, 303, 400, 401, 405}, "none is missing, none breaks"


def test_a_person_comes_in_by_browser(gateway_url: str, party: RelyingParty, browser: Browser, person: User) -> None:
    nonce = uuid4().hex
    tokens = come_in(party, browser, person, nonce=nonce)

    assert id_claims(party, tokens, nonce)["sub"] == str(person.pk)
    assert access_claims(party, tokens["access_token"])["sub"] == str(person.pk)
    assert ask(gateway_url, "/v1/models", tokens["access_token"]).status_code == 200
    me = ask(gateway_url, "/api/v1/auth/me", tokens["access_token"])
    assert (me.status_code, me.json()["username"]) == (200, person.username)
    about = party.session.get(party.metadata["userinfo_endpoint"]).json()
    assert (about["sub"], about["email"]) == (str(person.pk), person.email)


def id_claims(party: RelyingParty, tokens: dict[str, Any], nonce: str) -> dict[str, Any]:
    """What the ID token says, once Authlib finds it good by the published keys."""
    keys = KeySet.import_key_set(httpx.get(party.metadata["jwks_uri"]).json())
    decoded = jose.decode(tokens["id_token"], keys, algorithms=["RS256"])
    expected = {"iss": {"value": party.metadata["issuer"]}, "aud": {"value": party.client.client_id}}
    known = {"nonce": nonce, "client_id": party.client.client_id, "access_token": tokens["access_token"]}
    claims = CodeIDToken(decoded.claims, decoded.header, expected, known)
    claims.validate()
    return dict(claims)


def access_claims(party: RelyingParty, token: str) -> dict[str, Any]:
    """What an access token says, once PyJWT finds it good by the published keys."""
    key = jwt.PyJWKClient(party.metadata["jwks_uri"]).get_signing_key_from_jwt(token)
    issuer = party.metadata["issuer"]
    return dict(jwt.decode(token, key, algorithms=["RS256"], audience=AUDIENCE, issuer=issuer))


def test_a_second_use_of_a_refresh_token_ends_all_of_its_family(
    gateway_url: str, party: RelyingParty, browser: Browser, person: User
) -> None:
    first = come_in(party, browser, person)
    assert not is_dead(gateway_url, first["access_token"])
    second = party.refresh(first["refresh_token"])
    assert not is_dead(gateway_url, second["access_token"])
    assert eventually(lambda: is_dead(gateway_url, first["access_token"]), seconds=1), "what was refreshed has ended"

    with pytest.raises(OAuthError, match="invalid_grant"):
        party.refresh(first["refresh_token"])

    assert eventually(lambda: is_dead(gateway_url, second["access_token"]), seconds=1)
    with pytest.raises(OAuthError, match="invalid_grant"):
        party.refresh(second["refresh_token"])


def test_sign_out_by_the_application(gateway_url: str, party: RelyingParty, browser: Browser, person: User) -> None:
    tokens = come_in(party, browser, person)
    assert not is_dead(gateway_url, tokens["access_token"])
    assert in_browsers(person) == 1
    cookies = dict(browser.cookies)

    wish = {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": AFTER_LOGOUT, "state": "s-9"}
    back = browser.open(f"{party.metadata['end_session_endpoint']}?{urlencode(wish)}")

    assert back.headers["location"] == f"{AFTER_LOGOUT}?state=s-9"
    assert in_browsers(person) == 0
    assert eventually(lambda: is_dead(gateway_url, tokens["access_token"]), seconds=1)
    with pytest.raises(OAuthError, match="invalid_grant"):
        party.refresh(tokens["refresh_token"])
    with Browser(gateway_url) as thief:
        thief.cookies.update(cookies)
        assert thief.open("/account").url.path == "/account/sign-in", "the cookie is worth nothing"


def test_consent_is_asked_once_and_silence_is_respected(party: RelyingParty, browser: Browser, person: User) -> None:
    address, _state = party.way_in(prompt="none")
    assert answer_of(browser.open(address))["error"] == "login_required"
    come_in(party, browser, person)

    address, state = party.way_in(prompt="none")
    answer = answer_of(browser.open(address))

    assert (answer["state"], answer["iss"]) == (state, party.metadata["issuer"])
    assert answer["code"]


def test_a_person_may_refuse(party: RelyingParty, browser: Browser, person: User) -> None:
    consent = browser.sign_in(browser.open(party.way_in()[0]), person)
    assert answer_of(browser.submit(consent))["error"] == "access_denied"


def answer_of(back: httpx.Response) -> dict[str, str]:
    """What a redirect tells the application."""
    address = back.headers["location"]
    assert address.startswith(f"{CALLBACK}?")
    return {name: value for name, [value] in parse_qs(urlsplit(address).query).items()}


@pytest.mark.parametrize("without", ["csrfmiddlewaretoken", "cookie"])
def test_forms_of_other_sites_do_nothing(party: RelyingParty, browser: Browser, person: User, without: str) -> None:
    page = browser.open(party.way_in()[0])
    if without == "cookie":
        browser.cookies.clear()
    fields = {"csrfmiddlewaretoken": ""} if without == "csrfmiddlewaretoken" else {}

    answer = browser.submit(page, username=person.username, password=PASSWORD, **fields)

    assert answer.status_code == 403
    assert in_browsers(person) == 0


@pytest.mark.parametrize(
    "target",
    ["//evil.com", "\\\\evil.com", "/\\evil.com", "https:evil.com", "https://evil.com/account", "/\t/evil.com"],
)
def test_101_signing_in_leads_to_no_other_site(browser: Browser, person: User, target: str) -> None:
    page = browser.get(f"/account/sign-in?{urlencode({'next': target})}")

    landed = browser.sign_in(page, person)

    assert (landed.status_code, landed.url.path) == (200, "/account")


def test_101_signing_in_leads_back_to_our_own_pages(browser: Browser, person: User) -> None:
    page = browser.open("/account")
    assert browser.sign_in(page, person).url.path == "/account"


def test_client_credentials(gateway_url: str) -> None:
    secret = uuid4().hex
    client_id = f"leaky-client-{uuid4().hex[:8]}"
    account = open_client(client_id, secret, scopes=[INFERENCE, TOKENS_READ])
    robot = OAuth2Session(client_id, secret, token_endpoint_auth_method="client_secret_basic", scope="inference")

    token = robot.fetch_token(f"{gateway_url}/oauth2/token", grant_type="client_credentials")

    assert "refresh_token" not in token
    assert token["scope"] == "inference"
    assert ask(gateway_url, "/v1/models", token["access_token"]).status_code == 200
    assert ask(gateway_url, "/api/v1/auth/me", token["access_token"]).json()["userId"] == str(account)
    wrong = OAuth2Session(client_id, uuid4().hex, token_endpoint_auth_method="client_secret_basic")
    with pytest.raises(OAuthError, match="invalid_client"):
        wrong.fetch_token(f"{gateway_url}/oauth2/token", grant_type="client_credentials")
