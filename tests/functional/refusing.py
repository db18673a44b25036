"""What every refusal of a client's fault must leave behind: nothing (RELIABILITY.md §5.1)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from django.conf import settings
from redis import Redis

from apps.limiter.api import bucket_key
from apps.quotas.models import Hold
from tests.functional.payers import Oracle, Payer

PATH = "/v1/chat/completions"
GOOD = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi."}], "max_tokens": 5}


def row(number: int, what: str, *values: object) -> Any:
    """One row of the catalogue of bad input, as a test parameter that its number and words identify."""
    return pytest.param(*values, id=f"{number}-{what}")


@dataclass(frozen=True, slots=True)
class Refused:
    """The answer that is due. ``param`` is the name in the error, None where it blames no field."""

    status: int
    code: str
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who sends what no SDK would, and the three places where a call would leave a trace."""

    url: str
    """The gateway's base URL, without ``/v1``."""
    payer: Payer
    oracle: Oracle

    def post(self, content: bytes, **headers: str) -> httpx.Response:
        """Send these bytes as a chat completion. A header named here replaces the usual one."""
        usual = {"authorization": f"Bearer {self.payer.key}", "content-type": "application/json"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.post(self.url + PATH, content=content, headers=usual | named, timeout=30)

    def refused(self, due: Refused, content: bytes, **headers: str) -> httpx.Response:
        """Send it, and insist on the answer that is due and on no trace."""
        with self.leaving_no_trace():
            answer = self.post(content, **headers)
        insist(answer, due)
        return answer

    @contextmanager
    def leaving_no_trace(self) -> Iterator[None]:
        """Nothing held, nothing poured, no call of the provider, nothing spent."""
        before, balance = self.oracle.calls(), self.payer.balance()
        yield
        assert self.oracle.calls() == before
        assert self.payer.balance() == balance
        assert not Hold.objects.filter(account_id=self.payer.account).exists()
        with Redis.from_url(settings.QUOTA_REDIS_URL) as valkey:
            assert valkey.exists(bucket_key(self.payer.account)) == 0


def insist(answer: httpx.Response, due: Refused) -> None:
    """An error in OpenAI's shape, whole, with everything that an answer from 400 up carries."""
    assert (answer.status_code, answer.json()["error"]["code"]) == (due.status, due.code), answer.text[:500]
    error = answer.json()["error"]
    assert list(answer.json()) == ["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == due.param
    assert error["message"]
    assert "None" not in (error["type"], error["param"], error["code"])
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["x-request-id"]
    assert answer.headers["x-should-retry"] == "false"
    assert (answer.headers.get("www-authenticate") == "Bearer") == (due.status == 401)
