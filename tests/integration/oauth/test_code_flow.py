"""The code flow, with Authlib as the relying party and two other libraries to read the tokens."""

from urllib.parse import urlsplit

import jwt
import pytest
import requests
from authlib.oidc.core import CodeIDToken
from django.conf import settings
from django.utils import timezone
from joserfc import jwt as jose
from joserfc.jwk import KeySet

from apps.accounts.api import find_access, published_keys, trust, verify_access_token
from apps.accounts.models import User
from tests.integration.oauth.conftest import CALLBACK, Party, Register, allow, answer_of


def keys_of(server: str) -> KeySet:
    return KeySet.import_key_set(requests.get(f"{server}/oauth2/jwks", timeout=10).json())


def test_code_flow_with_authlib(party: Party, browser: requests.Session, person: User) -> None:
    session = party.session(scope="openid profile email inference")
    address, state = session.create_authorization_url(
        f"{party.server}/oauth2/authorize", code_verifier=party.verifier, nonce="n-7"
    )
    back = allow(browser, address)
    token = session.fetch_token(
        f"{party.server}/oauth2/token", authorization_response=back.headers["Location"], state=state,
        code_verifier=party.verifier,
    )  # fmt: skip
    decoded = jose.decode(token["id_token"], keys_of(party.server), algorithms=["RS256"])
    claims = CodeIDToken(
        decoded.claims, decoded.header,
        {"iss": {"value": settings.PUBLIC_URL}, "aud": {"value": party.client.client_id}},
        {"nonce": "n-7", "client_id": party.client.client_id, "access_token": token["access_token"]},
    )  # fmt: skip
    claims.validate()
    assert set(decoded.header) == {"alg", "typ", "kid"}
    assert claims["sub"] == str(person.pk)
    assert claims["at_hash"]
    assert (token["token_type"], token["expires_in"]) == ("Bearer", 3600)
    assert "refresh_token" not in token
    about = session.get(f"{party.server}/oauth2/userinfo").json()
    assert about == {
        "sub": str(person.pk), "name": "Ada Lovelace", "given_name": "Ada", "family_name": "Lovelace",
        "preferred_username": person.username, "email": person.email, "email_verified": False,
    }  # fmt: skip


def test_access_token_is_rfc_9068_and_found(party: Party, browser: requests.Session, person: User) -> None:
    text = party.tokens(browser)["access_token"]
    key = jwt.PyJWKClient(f"{party.server}/oauth2/jwks").get_signing_key_from_jwt(text)
    claims = jwt.decode(text, key, algorithms=["RS256"], audience=settings.TOKEN_AUDIENCE, issuer=settings.PUBLIC_URL)
    assert jwt.get_unverified_header(text) == {"alg": "RS256", "typ": "at+jwt", "kid": key.key_id}
    assert set(claims) == {"iss", "sub", "aud", "exp", "iat", "jti", "tv", "client_id", "scope"}
    assert claims["exp"] - claims["iat"] == 3600
    found = find_access(verify_access_token(text, published_keys(), trust(), timezone.now()))
    assert (found.user_id, found.client_id, found.scopes) == (person.pk, party.client.client_id, {"inference"})


def test_answer_names_the_issuer_and_is_303(party: Party, browser: requests.Session) -> None:
    answer = answer_of(allow(browser, party.address()))
    assert set(answer) == {"code", "state", "iss"}
    assert (answer["state"], answer["iss"]) == ("s-1", settings.PUBLIC_URL)


def test_denial_goes_back_with_issuer(party: Party, browser: requests.Session) -> None:
    answer = answer_of(allow(browser, party.address(), decision=""))
    assert (answer["error"], answer["state"], answer["iss"]) == ("access_denied", "s-1", settings.PUBLIC_URL)


@pytest.mark.parametrize("way", ["client_secret_basic", "client_secret_post"])
def test_both_ways_of_client_authentication(party: Party, browser: requests.Session, way: str) -> None:
    token = party.session(token_endpoint_auth_method=way).fetch_token(
        f"{party.server}/oauth2/token", code=party.code(browser), code_verifier=party.verifier
    )
    assert token["access_token"]


def test_public_client(register: Register, browser: requests.Session) -> None:
    party = register(client_type="public")
    assert party.secret == ""
    assert party.tokens(browser)["refresh_token"]


@pytest.mark.parametrize("method", ["get", "post"])
def test_userinfo_by_header(party: Party, browser: requests.Session, person: User, method: str) -> None:
    headers = {"Authorization": f"Bearer {party.tokens(browser)['access_token']}"}
    answer = requests.request(method, f"{party.server}/oauth2/userinfo", headers=headers, timeout=10)
    assert answer.json() == {"sub": str(person.pk)}


def test_userinfo_refuses_token_in_the_address(party: Party, browser: requests.Session) -> None:
    text = party.tokens(browser)["access_token"]
    answer = requests.get(f"{party.server}/oauth2/userinfo?access_token={text}", timeout=10)
    assert answer.status_code == 400


def test_userinfo_needs_openid(party: Party, browser: requests.Session) -> None:
    text = party.tokens(browser, scope="inference")["access_token"]
    answer = requests.get(f"{party.server}/oauth2/userinfo", headers={"Authorization": f"Bearer {text}"}, timeout=10)
    assert answer.status_code in {401, 403}
    assert "sub" not in answer.text


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "id_token"])
def test_userinfo_refuses_what_is_no_access_token(party: Party, browser: requests.Session, text: str) -> None:
    shown = party.tokens(browser)["id_token"] if text == "id_token" else text
    answer = requests.get(f"{party.server}/oauth2/userinfo", headers={"Authorization": f"Bearer {shown}"}, timeout=10)
    assert answer.status_code == 401


@pytest.mark.parametrize("document", ["openid-configuration", "oauth-authorization-server"])
def test_discovery(server: str, document: str) -> None:
    answer = requests.get(f"{server}/.well-known/{document}", timeout=10)
    told = answer.json()
    assert told["issuer"] == settings.PUBLIC_URL
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert told["response_types_supported"] == ["code"]
    assert told["grant_types_supported"] == ["authorization_code", "client_credentials", "refresh_token"]
    for name, address in told.items():
        if name.endswith(("_endpoint", "_uri")):
            path = urlsplit(address).path
            assert address == settings.PUBLIC_URL + path
            assert requests.get(server + path, timeout=10, allow_redirects=False).status_code != 404


def test_jwks_is_the_same_at_both_places(server: str) -> None:
    answers = [requests.get(f"{server}{path}", timeout=10) for path in ("/oauth2/jwks", "/.well-known/jwks.json")]
    assert answers[0].json() == answers[1].json()
    assert "max-age" in answers[0].headers["Cache-Control"]
    for key in answers[0].json()["keys"]:
        assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}
        assert (key["kty"], key["use"], key["alg"]) == ("RSA", "sig", "RS256")


def test_no_cross_origin_reading_of_the_authorization_endpoint(party: Party, browser: requests.Session) -> None:
    answer = browser.get(party.address(), headers={"Origin": "https://app.example"}, timeout=10)
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["X-Frame-Options"] == "DENY"


def test_authorization_request_in_a_form(party: Party, browser: requests.Session) -> None:
    address, _, query = party.address().partition("?")
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = browser.post(address, data=query, headers=kind, allow_redirects=False, timeout=10)
    assert answer.status_code == 303
    assert answer_of(allow(browser, party.server + answer.headers["Location"]))["code"]
    assert CALLBACK in party.client.redirect_uris


def test_consent_without_csrf_token_is_refused(party: Party, browser: requests.Session) -> None:
    answer = browser.post(party.address(), data={"allow": "true"}, allow_redirects=False, timeout=10)
    assert answer.status_code == 403


def test_logs_at_debug_name_no_secret(
    party: Party, browser: requests.Session, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    code = party.code(browser, scope="openid inference offline_access")
    told = party.exchange(code).json()
    party.post("token", grant_type="refresh_token", refresh_token=told["refresh_token"])
    party.post("token", grant_type="refresh_token", refresh_token=told["refresh_token"])
    party.exchange(code)
    written = " ".join(record.getMessage() for record in caplog.records if not record.name.startswith("urllib3"))
    assert written
    for secret in (code, party.secret, party.verifier, told["access_token"], told["refresh_token"], told["id_token"]):
        assert secret not in written
