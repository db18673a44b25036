"""A person's browser, and the application that they sign in to: both know the gateway's address and nothing else."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from uuid import uuid4

import httpx
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session

from apps.accounts import api as accounts
from apps.accounts.models import Application, User
from apps.accounts.oauth.clients import create_client
from apps.core.http.caller import INFERENCE, TOKENS_READ

CALLBACK = "https://app.example/callback"
AFTER_LOGOUT = "https://app.example/bye"
PASSWORD = "correct horse battery staple"
EVERYTHING = "openid profile email offline_access inference"
MOST_REDIRECTS = 10


def new_person(gateway_url: str) -> User:
    """Somebody who has signed up with :data:`PASSWORD`. The system hashes it, in its own way."""
    name = f"b{uuid4().hex[:12]}"
    form = {"username": name, "email": f"{name}@example.org", "password": PASSWORD}
    httpx.post(f"{gateway_url}/api/v1/auth/register", json=form, timeout=20).raise_for_status()
    return accounts.find_user(name)


class _Hidden(HTMLParser):
    """The hidden fields of a page's form, which a browser sends along."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "input" and given.get("type") == "hidden":
            self.fields[given["name"] or ""] = given.get("value") or ""


class Browser(httpx.Client):
    """Follows redirects as long as they stay on the gateway; where it is sent away, the redirect is its answer."""

    def __init__(self, gateway_url: str) -> None:
        super().__init__(base_url=gateway_url, follow_redirects=False, timeout=20)

    def open(self, address: str) -> httpx.Response:
        """The page at an address, or the redirect to another site."""
        return self._follow(self.get(address))

    def submit(self, page: httpx.Response, **fields: str) -> httpx.Response:
        """Fill in the form of ``page``, press its button, and see where that leads."""
        form = _Hidden(page.text).fields | fields
        return self._follow(self.post(page.url, data=form, headers={"Origin": str(self.base_url).rstrip("/")}))

    def sign_in(self, page: httpx.Response, person: User) -> httpx.Response:
        """Sign in on the sign-in page that the browser was led to."""
        assert page.url.path == "/account/sign-in", page.url
        return self.submit(page, username=person.username, password=PASSWORD)

    def _follow(self, answer: httpx.Response) -> httpx.Response:
        for _ in range(MOST_REDIRECTS):
            if not answer.has_redirect_location:
                return answer
            target = answer.url.join(answer.headers["location"])
            if target.host != self.base_url.host:
                return answer
            answer = self.get(target)
        raise AssertionError(f"led in circles to {answer.url}")


@dataclass
class RelyingParty:
    """An application that has read the discovery document, with Authlib's client to speak for it."""

    gateway_url: str
    client: Application
    secret: str
    metadata: dict[str, Any] = field(init=False)
    session: OAuth2Session = field(init=False)
    verifier: str = field(default_factory=lambda: generate_token(48))

    def __post_init__(self) -> None:
        self.metadata = httpx.get(f"{self.gateway_url}/.well-known/openid-configuration").json()
        self.session = OAuth2Session(
            self.client.client_id, self.secret, redirect_uri=CALLBACK, scope=EVERYTHING,
            token_endpoint_auth_method="client_secret_basic", code_challenge_method="S256",
        )  # fmt: skip

    def way_in(self, **options: str) -> tuple[str, str]:
        """Where to send the browser, and the state that must come back."""
        address, state = self.session.create_authorization_url(
            self.metadata["authorization_endpoint"], code_verifier=self.verifier, **options
        )
        return str(address), str(state)

    def tokens(self, callback: str, state: str) -> dict[str, Any]:
        """What the code in the address of a callback is worth."""
        return dict(
            self.session.fetch_token(
                self.metadata["token_endpoint"], authorization_response=callback, state=state,
                code_verifier=self.verifier,
            )
        )  # fmt: skip

    def refresh(self, token: str) -> dict[str, Any]:
        """New tokens for a refresh token."""
        return dict(self.session.refresh_token(self.metadata["token_endpoint"], refresh_token=token))


def register(gateway_url: str) -> RelyingParty:
    """A new application that people sign in with."""
    client = Application(
        name="An app", client_type=Application.CLIENT_CONFIDENTIAL, redirect_uris=CALLBACK,
        authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE, post_logout_redirect_uris=AFTER_LOGOUT,
        allowed_scopes=[INFERENCE, TOKENS_READ],
    )  # fmt: skip
    return RelyingParty(gateway_url, client, create_client(client))


def come_in(party: RelyingParty, browser: Browser, person: User, **options: str) -> dict[str, Any]:
    """The whole way: sign in, allow, and the tokens."""
    address, state = party.way_in(**options)
    consent = browser.sign_in(browser.open(address), person)
    back = browser.submit(consent, allow="true")
    assert back.status_code == 303, back.text
    return party.tokens(back.headers["location"], state)
