"""One call after another on one connection, timed: what a client sees of an outage."""

import http.client
import json
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.functional.payers import Payer
from tests.functional.raw_client import PROMPT

BODY = json.dumps({"model": "gpt-4o-mini", "messages": PROMPT, "max_tokens": 5})
SECONDS = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and how long it took from the sending to the last byte."""

    status: int
    code: str
    headers: dict[str, str]
    seconds: float


class Caller:
    """A client of one gateway that keeps its connection and asks for five tokens."""

    def __init__(self, gateway_url: str, payer: Payer) -> None:
        self.payer = payer
        self._address = urlsplit(gateway_url).netloc
        self._connection = http.client.HTTPConnection(self._address, timeout=SECONDS)

    def ask(self, **headers: str) -> Answer:
        """One plain call."""
        own = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"authorization": f"Bearer {self.payer.key}", "content-type": "application/json", **own}
        began = time.monotonic()
        self._connection.request("POST", "/v1/chat/completions", BODY, sent)
        answer = self._connection.getresponse()
        body = json.loads(answer.read())
        seconds = time.monotonic() - began
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, str(body.get("error", {}).get("code", "")), found, seconds)

    def serves(self) -> bool:
        """Whether a call is answered as it should be."""
        return self.ask().status == http.client.OK

    def close(self) -> None:
        """Leave."""
        self._connection.close()
