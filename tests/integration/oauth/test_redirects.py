"""Where codes may be sent: the registered address, character by character. Anything else ends on a page of ours."""

import pytest
import requests
from django.core.exceptions import ValidationError

from apps.accounts.models import Application
from apps.accounts.validators import validate_redirects
from tests.integration.oauth.conftest import CALLBACK, Party

FOREIGN = [
    "https://evil.example/callback", "https://app.example.evil.example/callback", "https://evil.example/app.example",
    "http://app.example/callback", "HTTPS://app.example/callback", "https://APP.example/callback",
    "https://app.example/callback/", "https://app.example/callback/x", "https://app.example/Callback",
    "https://app.example:443/callback", "https://app.example:8443/callback", "https://app.example:/callback",
    "https://app.example./callback", "https://app.example/callback?x=1", "https://app.example/callback?",
    "https://app.example/callback#", "https://app.example/callback#x", "https://app.example/callback;x",
    "https://user@app.example/callback", "https://app.example@evil.example/callback",
    "https://app.example:x@evil.example/callback", "https://app.example%40evil.example/callback",
    "https://app.example/./callback", "https://app.example/x/../callback", "https://app.example/%2e%2e/callback",
    "https://app.example//callback", "https://app.example\\@evil.example/callback", "https:\\\\app.example\\callback",
    "https:/app.example/callback", "https:app.example/callback", "//app.example/callback", "//evil.example",
    "/callback", "\\\\evil.example", "https://app.example%2fevil.example/callback", "https://app.example/callback%00",
    "https://app.example/callback\n", " https://app.example/callback", "https://\u0430pp.example/callback",
    "https://xn--pp-7kc.example/callback", "https://*.example/callback", "javascript:alert(1)",
    "data:text/html,x", "https://app.example/callback https://evil.example",
]  # fmt: skip


@pytest.mark.parametrize("signed_in", [True, False])
def test_foreign_addresses_get_a_page(party: Party, browser: requests.Session, signed_in: bool) -> None:
    assert len(FOREIGN) >= 40
    who = browser if signed_in else requests.Session()
    for uri in FOREIGN:
        for prompt in ("consent", "none"):
            answer = who.get(party.address(redirect_uri=uri, prompt=prompt), allow_redirects=False, timeout=10)
            assert (answer.status_code, "Location" in answer.headers) == (400, False), uri


def test_unknown_client_gets_a_page(party: Party, browser: requests.Session) -> None:
    for client in ("unknown", "\0", "", None, "x" * 300):
        answer = browser.get(party.address(client_id=client), allow_redirects=False, timeout=10)
        assert (answer.status_code, "Location" in answer.headers) == (400, False), client


@pytest.mark.parametrize("query", ["%zz", "client_id=%zz", "client_id=%ff", "client_id=\u00e4", "", "&&&", "%00=1"])
def test_unreadable_address_gets_a_page(server: str, committed: None, query: str) -> None:
    answer = requests.get(f"{server}/oauth2/authorize?{query}", allow_redirects=False, timeout=10)
    assert (answer.status_code, "Location" in answer.headers) == (400, False)


def test_repeated_parameter_gets_a_page(party: Party, browser: requests.Session) -> None:
    answer = browser.get(f"{party.address()}&redirect_uri=https://evil.example", allow_redirects=False, timeout=10)
    assert (answer.status_code, "Location" in answer.headers) == (400, False)


@pytest.mark.parametrize(
    "uri",
    [
        "http://app.example/callback", "http://127.0.0.1.evil.example/", "http://localhost.evil.example/",
        "https://*.example/cb", "https://user@app.example/cb", "https://app.example/cb#x", "https://app.example/../cb",
        "https://APP.example/cb", "HTTPS://app.example/cb", "https:///cb", "https://app.example\\@evil.example/cb",
        "https://\u0430pp.example/cb", "javascript:alert(1)", "com.example.app:/cb", "https://app.example:99999999/cb",
    ],
)  # fmt: skip
def test_what_cannot_be_registered(uri: str) -> None:
    with pytest.raises(ValidationError):
        validate_redirects([uri], ["https", "http"])


@pytest.mark.parametrize("uri", [CALLBACK, "http://127.0.0.1:3000/cb", "http://localhost/cb", "http://[::1]:8/cb?x=1"])
def test_what_can(uri: str) -> None:
    validate_redirects([uri], ["https", "http"])
    if uri.startswith("http:"):
        with pytest.raises(ValidationError):
            validate_redirects([uri], ["https"])


def test_client_is_checked_as_a_whole() -> None:
    client = Application(
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS, client_type=Application.CLIENT_PUBLIC
    )
    with pytest.raises(ValidationError) as refused:
        client.clean()
    assert set(refused.value.message_dict) == {"user", "client_type"}
