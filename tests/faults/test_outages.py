"""Stores away: calls are refused by 503 and nothing is held; what was under way is booked once when they are back."""

import asyncio
import time
from collections.abc import Callable, Iterator
from statistics import median

import httpx
import pytest
from django.db import connection

from apps.quotas import api as quotas
from gateway.freshness import PATIENCE_SECONDS
from tests.faults.conftest import DATABASE_SECONDS
from tests.faults.gateways import readiness
from tests.faults.stores import Store, Stores
from tests.functional.payers import Oracle, Payer, eventually
from tests.functional.raw_client import PROMPT, RawCall, read_to_their_ends, streams_in_their_midst
from tests.functional.usage_events import events_of

RED_SECONDS = 2
REFUSAL_SECONDS = 0.15
"""How fast a call is refused when Valkey does not answer (RELIABILITY.md row 77)."""

LEDGER_REFUSAL_SECONDS = PATIENCE_SECONDS + DATABASE_SECONDS + 0.5
"""When PostgreSQL hangs: a moment for what is remembered of the caller to be compared, then the hold's own time."""

STREAMS, TOKENS, CHUNK_DELAY_MS = 5, 40, 40


def ask(url: str, payer: Payer) -> httpx.Response:
    body = {"model": "gpt-4o-mini", "messages": PROMPT, "max_tokens": 5}
    headers = {"authorization": f"Bearer {payer.key}"}
    return httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=20)


def assert_refused(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "quota_unavailable")
    assert answer.headers["x-should-retry"] == "true"
    assert int(answer.headers["retry-after"]) >= 1


def assert_red_soon(url: str, name: str) -> None:
    began = time.monotonic()
    assert eventually(lambda: name in (readiness(url) or []), seconds=RED_SECONDS), readiness(url)
    assert time.monotonic() - began <= RED_SECONDS


def assert_serves_again(url: str, payer: Payer) -> None:
    assert eventually(lambda: readiness(url) == [])
    assert eventually(lambda: ask(url, payer).status_code == 200)
    assert payer.settled().held == 0


@pytest.fixture(params=["stopped", "frozen"])
def outage(request: pytest.FixtureRequest) -> Iterator["Outage"]:
    """How a store goes away; it is back when the test ends."""
    outage = Outage(frozen=request.param == "frozen")
    yield outage
    outage.end()


class Outage:
    """A store that is away: ended, or there and not answering."""

    def __init__(self, *, frozen: bool) -> None:
        self.frozen = frozen
        self._back: Callable[[], None] = lambda: None

    def of(self, store: Store) -> None:
        if self.frozen:
            store.freeze()
        else:
            store.stop()
        self._back = store.thaw if self.frozen else store.start

    def end(self) -> None:
        """The tests' own connection may have ended with the store."""
        self._back()
        connection.close()
        self._back = lambda: None


def test_without_valkey_calls_are_refused_at_once(
    gateway_url: str, stores: Stores, oracle: Oracle, payer: Payer, outage: Outage
) -> None:
    assert ask(gateway_url, payer).status_code == 200
    before, spent = oracle.calls(), payer.settled().spent

    outage.of(stores.quota)
    answers = [ask(gateway_url, payer) for _ in range(5)]
    for answer in answers:
        assert_refused(answer)
    # The machine may be busy with others for a moment: one late answer of five says nothing of the gateway.
    assert median(answer.elapsed.total_seconds() for answer in answers) <= REFUSAL_SECONDS
    assert_red_soon(gateway_url, "valkey")
    assert (payer.balance().held, payer.balance().spent, oracle.calls()) == (0, spent, before)

    outage.end()
    assert_serves_again(gateway_url, payer)
    assert quotas.check_identities() == []


def test_without_postgresql_calls_are_refused_and_nothing_is_lost(
    gateway_url: str, stores: Stores, oracle: Oracle, payer: Payer, outage: Outage
) -> None:
    with asyncio.Runner() as runner:
        calls = runner.run(
            streams_in_their_midst(gateway_url, payer, streams=STREAMS, tokens=TOKENS, chunk_delay_ms=CHUNK_DELAY_MS)
        )
        outage.of(stores.postgresql)
        answer = ask(gateway_url, payer)
        assert_refused(answer)
        assert answer.elapsed.total_seconds() <= LEDGER_REFUSAL_SECONDS
        assert_red_soon(gateway_url, "postgresql")
        runner.run(read_to_their_ends(calls))
        outage.end()

    assert all(call.whole and call.events[-1] == b"[DONE]" for call in calls)
    used = [oracle.ending(call.request_id)["usage"]["total_tokens"] for call in calls]
    assert eventually(lambda: [charged(call) for call in calls] == used)
    account = payer.settled()
    assert (account.spent, account.held) == (sum(used), 0)
    assert all(len(events_of(call.request_id)) <= 2 for call in calls)
    assert quotas.check_identities() == []
    assert_serves_again(gateway_url, payer)


def charged(call: RawCall) -> int:
    """What a call was charged, over its end and its correction."""
    return sum(event["charged"] for event in events_of(call.request_id))
