"""The signing key changes while clients are at work: nobody notices (RELIABILITY.md S6, S7)."""

import base64
import json
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from django.db import connection

from apps.accounts.api import open_client, rotate_signing_key, withdraw_signing_key
from apps.core.http.caller import INFERENCE
from tests.functional.identities import access_token
from tests.functional.payers import eventually
from tests.functional.relying_party import PASSWORD, new_person

pytestmark = pytest.mark.usefixtures("committed")

CLIENTS = 4
LEAD = timedelta(seconds=2)
ROTATIONS = 2
AUDIENCE = "leaky-tokens"
UNKNOWN = 500
SHUT_OUT_SECONDS = 1.0
FLUSHED_SECONDS = 15
"""PostgreSQL's sessions hand in what they have counted when they have been idle for ten seconds."""


class Verifier(jwt.PyJWKClient):
    """Anybody's verifier: PyJWT's own, which keeps the keys for a while.

    A ``curious`` one keeps them long and fetches them at once when it meets an unknown one; one that is not looks every
    second, which is within the lead, and so may never meet an unknown one.
    """

    def __init__(self, url: str, *, curious: bool) -> None:
        kept, patience = (300, 0) if curious else (LEAD.total_seconds() / 2, 300)
        super().__init__(f"{url}/oauth2/jwks", lifespan=kept, cooldown_duration=patience)
        self.curious = curious
        self.fetches = 0

    def fetch_data(self) -> Any:
        self.fetches += 1
        return super().fetch_data()

    def kid_of(self, token: str) -> str:
        """The id of the key that signed a token, which is good."""
        key = self.get_signing_key_from_jwt(token)
        jwt.decode(token, key, algorithms=["RS256"], audience=AUDIENCE)
        return str(key.key_id)


@dataclass
class Worker:
    """A client that gets token after token, verifies each, and uses each."""

    url: str
    verifier: Verifier
    tokens: dict[str, str] = field(default_factory=dict)
    """By the id of the key that signed them, the first of each."""

    used: int = 0
    failures: list[str] = field(default_factory=list)

    def work(self, fresh: Iterator[str], done: threading.Event) -> None:
        """Until told to stop. What goes wrong is written down, not raised: the others go on."""
        with httpx.Client(base_url=self.url, timeout=20) as client:
            while not done.is_set():
                try:
                    self._use(client, next(fresh))
                except (httpx.HTTPError, jwt.PyJWTError) as error:
                    self.failures.append(repr(error))

    def _use(self, client: httpx.Client, token: str) -> None:
        self.tokens.setdefault(self.verifier.kid_of(token), token)
        for path in ("/v1/models", "/api/v1/auth/me"):
            client.get(path, headers={"authorization": f"Bearer {token}"}).raise_for_status()
        self.used += 1


def by_refreshing(url: str) -> Iterator[str]:
    """A person's tokens: sign up, then refresh for ever."""
    name = f"r{uuid4().hex[:12]}"
    form = {"username": name, "email": f"{name}@example.org", "password": PASSWORD}
    with httpx.Client(base_url=f"{url}/api/v1/auth", timeout=20) as client:
        answer = client.post("/register", json=form).raise_for_status().json()
        while True:
            yield answer["token"]
            wish = {"refreshToken": answer["refreshToken"]}
            answer = client.post("/refresh", json=wish).raise_for_status().json()


def by_secret(url: str, client_id: str, secret: str) -> Iterator[str]:
    """A program's tokens: a new one each time."""
    form = {"grant_type": "client_credentials", "scope": INFERENCE}
    with httpx.Client(base_url=url, timeout=20, auth=(client_id, secret)) as client:
        while True:
            yield client.post("/oauth2/token", data=form).raise_for_status().json()["access_token"]


def crowd(url: str) -> list[tuple[Worker, Iterator[str]]]:
    """Half people, half programs, and half of each curious."""
    client_id, secret = f"rotation-{uuid4().hex[:8]}", uuid4().hex
    open_client(client_id, secret, scopes=[INFERENCE])
    sources = [by_refreshing(url) if n % 2 else by_secret(url, client_id, secret) for n in range(CLIENTS)]
    return [(Worker(url, Verifier(url, curious=n < CLIENTS / 2)), source) for n, source in enumerate(sources)]


def published(url: str) -> set[str]:
    return {key["kid"] for key in httpx.get(f"{url}/oauth2/jwks").json()["keys"]}


def test_rotation_is_noticed_by_nobody(gateway_url: str) -> None:
    workers, done = crowd(gateway_url), threading.Event()
    threads = [threading.Thread(target=worker.work, args=(source, done)) for worker, source in workers]
    for thread in threads:
        thread.start()
    try:
        assert eventually(lambda: all(worker.tokens for worker, _ in workers))
        kids = [rotated(gateway_url, [worker for worker, _ in workers]) for _ in range(ROTATIONS)]
    finally:
        done.set()
        for thread in threads:
            thread.join()

    assert [failure for worker, _ in workers for failure in worker.failures] == []
    for worker, _ in workers:
        assert set(worker.tokens) >= set(kids)
        assert worker.verifier.fetches <= 1 + ROTATIONS or not worker.verifier.curious
        still = {token: httpx.get(f"{gateway_url}/v1/models", headers={"authorization": f"Bearer {token}"})
                 for token in worker.tokens.values()}  # fmt: skip
        assert {answer.status_code for answer in still.values()} == {200}, "tokens of older keys go on working"
    used = [worker.used for worker, _ in workers]
    fetches = [worker.verifier.fetches for worker, _ in workers]
    logging.getLogger(__name__).info("tokens used %s, keys fetched %s, nothing failed", used, fetches)


def rotated(url: str, workers: list[Worker]) -> str:
    """Rotate, and come back when every worker has a token of the new key; its id."""
    before = published(url)
    kid, _begins = rotate_signing_key(lead=LEAD)
    assert published(url) == before | {kid}, "the next key is published while the present one signs"
    assert not any(kid in worker.tokens for worker in workers)
    arrived = eventually(lambda: all(kid in worker.tokens or worker.failures for worker in workers))
    assert arrived, [worker.failures for worker in workers]
    assert published(url) == before | {kid}, "the key before stays for as long as its tokens live"
    return kid


def test_a_key_that_has_leaked_is_withdrawn_everywhere(gateway_url: str) -> None:
    """What it signed ends within a second; what others signed goes on, and so does signing (RELIABILITY.md S6)."""
    person = new_person(gateway_url)
    good = access_token(person.pk)
    leaked, _begins = rotate_signing_key(lead=timedelta(0))
    lost = access_token(person.pk)
    assert eventually(lambda: status_of(gateway_url, lost) == 200)

    withdrawn_at = time.monotonic()
    present = withdraw_signing_key(leaked)
    assert eventually(lambda: status_of(gateway_url, lost) == 401, seconds=SHUT_OUT_SECONDS)
    elapsed = time.monotonic() - withdrawn_at

    assert leaked not in published(gateway_url)
    assert present in published(gateway_url)
    assert status_of(gateway_url, good) == 200, "another key signed it"
    assert eventually(lambda: status_of(gateway_url, access_token(person.pk)) == 200)
    logging.getLogger(__name__).info("the leaked key's token was refused after %.0f ms", elapsed * 1000)


def status_of(url: str, token: str) -> int:
    return httpx.get(f"{url}/v1/models", headers=bearer(token)).status_code


def test_unknown_keys_are_not_looked_for(gateway_url: str) -> None:
    """Whoever makes up ids of keys makes nobody fetch, and no store look: 500 guesses cost PostgreSQL nothing."""
    person = new_person(gateway_url)
    header, rest = access_token(person.pk).split(".", 1)
    made_up = [f"{with_kid(header, uuid4().hex)}.{rest}" for _ in range(UNKNOWN)]
    before = looks()

    with httpx.Client(base_url=gateway_url) as client:
        statuses = {client.get("/v1/models", headers=bearer(token)).status_code for token in made_up}
        marker = client.get("/v1/models", headers=bearer(access_token(person.pk)))

    assert (statuses, marker.status_code) == ({401}, 200)
    after = eventually(lambda: looks() if looks() > before else 0, seconds=FLUSHED_SECONDS)
    assert 0 < after - before < UNKNOWN / 10, "only the good token was looked up"


def with_kid(header: str, kid: str) -> str:
    """A token's header that names another key."""
    fields = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4))) | {"kid": kid}
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).rstrip(b"=").decode()


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def looks() -> int:
    """How often PostgreSQL was asked about keys that sign, sessions and roles, by anybody."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(seq_scan + coalesce(idx_scan, 0)) FROM pg_stat_user_tables"
            " WHERE relname IN ('accounts_signingkey', 'accounts_session')"
        )
        return int(cursor.fetchone()[0])
