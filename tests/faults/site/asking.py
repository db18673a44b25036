"""One call after another on one connection, timed: what a client sees of an outage."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.functional.payers import Payer
from tests.functional.raw_client import PROMPT

TOKENS = 5
SECONDS = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and how long it took from the sending to the last byte."""

    status: int
    code: str
    headers: dict[str, str]
    body: bytes
    seconds: float


class Caller:
    """A client of one gateway that keeps its connection."""

    def __init__(self, gateway_url: str, payer: Payer) -> None:
        self.payer = payer
        self._address = urlsplit(gateway_url).netloc
        self._connection = http.client.HTTPConnection(self._address, timeout=SECONDS)

    def ask(self, *, cap: int = TOKENS, tokens: int = TOKENS, idempotency_key: str | None = None) -> Answer:
        """One plain call that generates ``tokens`` tokens and may generate ``cap``."""
        body = {"model": "gpt-4o-mini", "messages": PROMPT, "stream": False, "max_tokens": cap}
        own = {"content-type": "application/json", "x-stub-tokens": str(tokens)}
        if idempotency_key is not None:
            own["idempotency-key"] = idempotency_key
        return self._send("POST", "/v1/chat/completions", json.dumps(body), own)

    def make_known(self) -> None:
        """Let the gateway look the key up, without a call."""
        assert self._send("GET", "/v1/models", None, {}).status == http.client.OK

    def _send(self, method: str, path: str, body: str | None, own: dict[str, str]) -> Answer:
        began = time.monotonic()
        self._connection.request(method, path, body, {"authorization": f"Bearer {self.payer.key}", **own})
        answer = self._connection.getresponse()
        content = answer.read()
        seconds = time.monotonic() - began
        headers = {name.lower(): value for name, value in answer.getheaders()}
        code = str(json.loads(content).get("error", {}).get("code", ""))
        return Answer(answer.status, code, headers, content, seconds)

    def serves(self) -> bool:
        """Whether a call is answered as it should be."""
        return self.ask().status == http.client.OK

    def close(self) -> None:
        """Leave."""
        self._connection.close()


@contextmanager
def calling(gateway_url: str, payer: Payer) -> Iterator[Caller]:
    """A client of a gateway, for a while."""
    caller = Caller(gateway_url, payer)
    try:
        yield caller
    finally:
        caller.close()
