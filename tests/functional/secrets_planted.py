"""Secrets of every kind, made and used as clients and operators do, and bad calls that carry them."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from authlib.integrations.base_client import OAuthError
from django.db import transaction

from apps.accounts import api as accounts
from apps.accounts.models import User
from apps.accounts.services import save_user
from apps.providers import services as catalogue
from apps.providers.api import Offer
from apps.providers.models import Upstream
from apps.quotas import api as quotas
from tests.functional.mailbox import Mailbox
from tests.functional.own_providers import Saying, served
from tests.functional.payers import eventually
from tests.functional.relying_party import Browser, RelyingParty, come_in, register

OF_THE_SYSTEM = ("DJANGO_SECRET_KEY", "LEAKY_KEY_PEPPER", "GATEWAY_INTERNAL_KEY", "LEAKY_CREDENTIAL_KEYS")
"""Variables with the system's own secrets."""

JSON = {"content-type": "application/json"}
SESSION_COOKIE = "leaky_session"
IN_THE_WAY = ("accounts_session", "accounts_apikey", "oauth2_provider_refreshtoken")
"""Tables without which signing in, calling and refreshing break, and answer 500 or 503."""


@dataclass
class Planted:
    """Secrets by their names; and where they were used, the answers to calls that were refused."""

    url: str
    box: Mailbox
    user: User
    client_id: str = ""
    secrets: dict[str, str] = field(default_factory=dict)
    refusals: list[httpx.Response] = field(default_factory=list)

    def parts(self) -> dict[str, str]:
        """What nobody may find: of a signed token its signature, which makes it a credential; of a key its secret."""
        return {name: _part(text) for name, text in self.secrets.items()}

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """A call with JSON; refusals are kept."""
        answer = httpx.post(f"{self.url}{path}", json=body, headers=headers, timeout=30)
        if answer.status_code >= 400:
            self.refusals.append(answer)
        return answer

    def bearer(self, name: str) -> dict[str, str]:
        """The header of a secret that is a credential."""
        return {"authorization": f"Bearer {self.secrets[name]}"}


def _part(text: str) -> str:
    if text.startswith("leaky_"):
        return text[-38:-6]
    return text.rpartition(".")[2] if text.count(".") == 2 else text


def plant(url: str, box: Mailbox) -> Planted:
    """One of each."""
    name, password = f"c{uuid4().hex[:12]}", f"canary-{secrets.token_hex(12)}"
    form = {"username": name, "email": f"{name}@example.org", "password": password}
    answer = httpx.post(f"{url}/api/v1/auth/register", json=form, timeout=30).raise_for_status().json()
    planted = Planted(url, box, accounts.find_user(name))
    planted.secrets |= {name: os.environ[name] for name in OF_THE_SYSTEM}
    planted.secrets |= {"password": password, "access token": answer["token"], "refresh token": answer["refreshToken"]}
    planted.secrets["verify token"] = box.token_for(planted.user.email, "verify")
    _plant_key(planted)
    _plant_links(planted)
    _plant_client(planted)
    return planted


def _plant_key(planted: Planted) -> None:
    answer = planted.post(
        "/api/v1/auth/api-keys", {"name": "canary", "userId": str(planted.user.pk)}, **planted.bearer("access token")
    )
    planted.secrets["api key"] = answer.raise_for_status().json()["apiKey"]
    validated = httpx.get(
        f"{planted.url}/api/v1/auth/api-keys/validate", headers={"x-api-key": planted.secrets["api key"]}
    )
    assert validated.status_code == 200
    used = httpx.get(f"{planted.url}/v1/models", headers=planted.bearer("api key"))
    assert used.status_code == 200


def _plant_links(planted: Planted) -> None:
    planted.post("/api/v1/auth/password-reset", {"email": planted.user.email}).raise_for_status()
    planted.secrets["reset token"] = planted.box.token_for(planted.user.email, "reset")
    slug, invited = f"o{uuid4().hex[:12]}", f"i{uuid4().hex[:12]}@example.org"
    owner = planted.bearer("access token")
    org = planted.post("/api/v1/orgs", {"name": "Canaries", "slug": slug}, **owner).raise_for_status().json()
    planted.post(f"/api/v1/orgs/{org['id']}/invitations", {"email": invited}, **owner).raise_for_status()
    planted.secrets["invitation"] = planted.box.token_for(invited, "invitation")


def _plant_client(planted: Planted) -> None:
    """A client's secret, what it gets by a code and by a refresh, and the cookies of the browser in between."""
    party = register(planted.url)
    with Browser(planted.url) as browser:
        first = come_in(party, browser, planted.user, password=planted.secrets["password"])
        planted.secrets["session cookie"] = browser.cookies[SESSION_COOKIE]
    second = party.refresh(first["refresh_token"])
    with suppress(OAuthError):
        party.refresh(first["refresh_token"])
    third = party.refresh(_again(party, planted)["refresh_token"])
    planted.client_id = party.client.client_id
    planted.secrets |= {"client secret": party.secret, "code verifier": party.verifier}
    for number, tokens in enumerate((first, second, third), 1):
        planted.secrets |= {f"{name} {number}": tokens[name] for name in ("access_token", "refresh_token")}


def _again(party: RelyingParty, planted: Planted) -> dict[str, Any]:
    with Browser(planted.url) as browser:
        return come_in(party, browser, planted.user, password=planted.secrets["password"])


def misuse(planted: Planted) -> None:
    """Send every secret where it does not belong, in the ways in which a client could.

    Never as the name that somebody signs in with: who tries which names is shown to operators, so it is written down.
    """
    for text in planted.secrets.values():
        planted.post("/api/v1/auth/login", {"username": "nobody", "password": text})
        planted.post("/api/v1/auth/login", {"username": planted.user.username, "password": [text]})
        planted.post("/api/v1/auth/register", {"username": text, "email": text, "password": text, text: 1})
        planted.post("/api/v1/auth/refresh", {"refreshToken": text, text: text})
        planted.post("/api/v1/auth/password-reset/confirm", {"token": text, "newPassword": "x"})
        planted.post("/api/v1/auth/verify-email", {"token": text + "x"})
        planted.post("/api/v1/invitations/accept", {"token": text}, authorization=f"Bearer {text}")
        planted.post("/api/v1/invitations/accept", {"token": text}, **planted.bearer("access token"))
        planted.post("/v1/chat/completions", {"model": text, text: text}, **planted.bearer("api key"))
        _misuse_elsewhere(planted, text)


def _misuse_elsewhere(planted: Planted, text: str) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": text, "client_id": text, "client_secret": text}
    with httpx.Client(base_url=planted.url, timeout=30) as client:
        planted.refusals += [
            client.get("/v1/models", params={"api_key": text}, headers={"authorization": f"Bearer {text}x"}),
            client.get("/api/v1/auth/me", params={"access_token": text}, headers={"x-api-key": text + "x"}),
            client.get("/oauth2/userinfo", params={"access_token": text}),
            client.post("/oauth2/token", data=form),
            client.post("/oauth2/token", data=form | {"grant_type": text}, auth=(text[:100], text)),
            client.post("/oauth2/revoke", data={"token": text}, auth=("nobody", text)),
            client.post("/oauth2/introspect", content=f'{{"token": "{text}"}}'),
            client.post("/api/v1/auth/login", content=f'{{"password": "{text}"', headers=JSON),
            client.post("/account/sign-in", data={"username": "nobody", "password": text, "csrfmiddlewaretoken": text}),
        ]
        for page in ("reset", "verify", "invitation"):
            client.get(f"/account/{page}", params={"token": text})


def misuse_provider(planted: Planted, url_of_gateway_models: Callable[[str], bool]) -> None:
    """A provider that refuses our credential, and says which it was."""
    credential = f"sk-canary-{secrets.token_hex(16)}"
    planted.secrets["provider credential"] = credential
    body = f'{{"error": {{"message": "Incorrect API key provided: {credential}", "code": "invalid_api_key"}}}}'
    name = f"canary-{uuid4().hex[:12]}"
    with served(Saying(401, body.encode())) as url:
        catalogue.open_provider(name, name, "openai", ["*"])
        catalogue.save_upstream(Upstream(provider_id=name, name="own", base_url=f"{url}/v1"), credential)
        catalogue.open_model(name, Offer(name, "chat", "o200k_base", 128_000, 16_384, 1, 1, 1))
        quotas.grant(
            payer_kind="user", payer_id=planted.user.pk, provider=name, tokens=1_000, grant_id=uuid4(), reason="t",
            actor="t",
        )  # fmt: skip
        assert url_of_gateway_models(name)
        call = {"model": name, "messages": [{"role": "user", "content": "Hi."}], "max_tokens": 5}
        answer = planted.post("/v1/chat/completions", call, **planted.bearer("api key"))
        assert answer.status_code >= 500, "our credential is no business of the caller's"


def break_things(planted: Planted) -> set[int]:
    """Good calls while tables are missing: real errors, with tracebacks. Returns their statuses."""
    known, statuses = planted.secrets, set()
    login = {"username": planted.user.username, "password": known["password"]}
    refresh = {"refreshToken": known["refresh token"]}
    form = {"grant_type": "refresh_token", "refresh_token": known["refresh_token 3"]}
    client = (planted.client_id, known["client secret"])
    key = {"name": "x", "userId": str(planted.user.pk)}
    for table in IN_THE_WAY:
        with missing(table):
            answers = [
                planted.post("/api/v1/auth/login", login),
                planted.post("/api/v1/auth/refresh", refresh),
                planted.post("/api/v1/auth/api-keys", key, **planted.bearer("access token")),
                planted.post("/v1/chat/completions", {"model": "m"}, **planted.bearer("api key")),
                httpx.post(f"{planted.url}/oauth2/token", data=form, auth=client, timeout=30),
            ]
        statuses |= {answer.status_code for answer in answers}
        planted.refusals += [answer for answer in answers if answer.status_code >= 500]
    return statuses


@contextmanager
def missing(table: str) -> Iterator[None]:
    """A table that is not where everybody looks for it."""
    rename = "ALTER TABLE {} RENAME TO {}"
    with psycopg.connect(os.environ["TEST_DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute(rename.format(table, f"{table}_hidden"))
        try:
            yield
        finally:
            owner.execute(rename.format(f"{table}_hidden", table))


def make_operator(planted: Planted) -> None:
    """Let the user into the console, with the password that they have."""
    with transaction.atomic():
        planted.user.is_staff = planted.user.is_superuser = True
        save_user(planted.user)
    assert eventually(lambda: User.objects.get(pk=planted.user.pk).is_superuser)
