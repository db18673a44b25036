"""The authorization server behind a real socket, a person's browser, and relying parties made of Authlib."""

import base64
import hashlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session
from django.conf import settings
from django.test import Client
from django.test.testcases import LiveServerThread, _StaticFilesHandler
from django.test.utils import override_settings
from pytest_django import DjangoDbBlocker

from apps.accounts.models import Application, User
from apps.accounts.oauth.clients import create_client
from apps.core.http.caller import INFERENCE, TOKENS_READ

CALLBACK = "https://app.example/callback"
AFTER_LOGOUT = "https://app.example/bye"
BACKEND = "apps.accounts.backends.PeopleBackend"


@pytest.fixture(scope="module")
def server(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    with django_db_blocker.unblock(), override_settings(ROOT_URLCONF="tests.integration.oauth.urls"):
        thread = LiveServerThread("localhost", _StaticFilesHandler)
        thread.daemon = True
        thread.start()
        thread.is_ready.wait()
        assert thread.error is None
        yield f"http://localhost:{thread.port}"
        thread.terminate()


@pytest.fixture
def person(committed: None) -> User:
    name = f"ada-{secrets.token_hex(6)}"
    return User.objects.create_user(
        name, f"{name}@example.test", "a long enough password", first_name="Ada", last_name="Lovelace"
    )


def sign_in(browser: requests.Session, person: User) -> None:
    """What the sign-in page does to a browser."""
    client = Client()
    client.force_login(person, backend=BACKEND)
    browser.cookies.set(settings.SESSION_COOKIE_NAME, client.cookies[settings.SESSION_COOKIE_NAME].value)


@pytest.fixture
def browser(person: User) -> Iterator[requests.Session]:
    with requests.Session() as session:
        sign_in(session, person)
        yield session


@dataclass
class Party:
    """A relying party: its registration, its secret, and the way to the server."""

    server: str
    client: Application
    secret: str
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def challenge(self) -> str:
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()

    def session(self, **options: Any) -> OAuth2Session:
        """Authlib's client of this registration."""
        wishes = {"token_endpoint_auth_method": "client_secret_basic", "code_challenge_method": "S256"} | options
        return OAuth2Session(self.client.client_id, self.secret, redirect_uri=CALLBACK, **wishes)

    def address(self, **changes: str | None) -> str:
        """The authorization endpoint with a good request, changed; None leaves a parameter out."""
        query = {
            "response_type": "code", "client_id": self.client.client_id, "redirect_uri": CALLBACK, "state": "s-1",
            "scope": "openid inference", "nonce": "n-1", "code_challenge": self.challenge,
            "code_challenge_method": "S256",
        } | changes  # fmt: skip
        given = {name: value for name, value in query.items() if value is not None}
        return f"{self.server}/oauth2/authorize?{urlencode(given)}"

    def code(self, browser: requests.Session, **changes: str | None) -> str:
        """A code that the person consented to."""
        return answer_of(allow(browser, self.address(**changes)))["code"]

    def exchange(self, code: str, **changes: str | None) -> requests.Response:
        """The token endpoint's answer to a code."""
        form = {"code": code, "redirect_uri": CALLBACK, "code_verifier": self.verifier} | changes
        return self.post("token", grant_type="authorization_code", **form)

    def tokens(self, browser: requests.Session, scope: str = "openid inference offline_access") -> dict[str, Any]:
        """The whole way to tokens."""
        answer = self.exchange(self.code(browser, scope=scope))
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def post(self, endpoint: str, **fields: str | None) -> requests.Response:
        """A form to an endpoint, authenticated by HTTP Basic where there is a secret."""
        form = {"client_id": None if self.secret else self.client.client_id} | fields
        basic = (self.client.client_id, self.secret) if self.secret else None
        given = {name: value for name, value in form.items() if value is not None}
        return requests.post(f"{self.server}/oauth2/{endpoint}", data=given, auth=basic, timeout=10)


def allow(browser: requests.Session, address: str, *, decision: str = "true") -> requests.Response:
    """Open the consent page and press a button; the answer is the redirect. No page if there is none."""
    page = browser.get(address, allow_redirects=False, timeout=10)
    if page.status_code != 200:
        return page
    form = {"csrfmiddlewaretoken": browser.cookies[settings.CSRF_COOKIE_NAME], "allow": decision}
    return browser.post(address, data=form, allow_redirects=False, timeout=10, headers={"Referer": address})


def answer_of(response: requests.Response) -> dict[str, str]:
    """The parameters that a redirect brings to the relying party."""
    assert response.status_code == 303, response.text
    location = response.headers["Location"]
    assert location.startswith(f"{CALLBACK}?"), location
    return {name: value for name, [value] in parse_qs(urlsplit(location).query).items()}


Register = Callable[..., Party]


@pytest.fixture
def register(server: str, committed: None) -> Register:
    """Register a client that people sign in with; keywords change its fields."""

    def _register(**changes: Any) -> Party:
        fields = {
            "name": "An app", "client_type": Application.CLIENT_CONFIDENTIAL, "redirect_uris": CALLBACK,
            "authorization_grant_type": Application.GRANT_AUTHORIZATION_CODE, "post_logout_redirect_uris": AFTER_LOGOUT,
            "allowed_scopes": [INFERENCE, TOKENS_READ],
        } | changes  # fmt: skip
        client = Application(**fields)
        return Party(server, client, create_client(client))

    return _register


@pytest.fixture
def party(register: Register) -> Party:
    return register()
