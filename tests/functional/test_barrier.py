"""Never oversold: many calls at once on a grant for some of them (RELIABILITY.md I1, row 75)."""

import asyncio

import httpx
import pytest

from tests.functional.payers import Oracle, Payer, open_payer

CALLS, GRANTED, OUTPUT = 500, 100, 20
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Count."}], "max_tokens": OUTPUT}
HEADERS = {"x-stub-tokens": str(OUTPUT), "x-stub-delay-ms": "200"}


def cost_of_one(gateway_url: str, payer: Payer) -> int:
    """What such a call costs, found by making one: it uses its whole cap, so hold and charge are the same."""
    answer = httpx.post(f"{gateway_url}/v1/chat/completions", json=BODY, headers=HEADERS | bearer(payer))
    return int(answer.headers["x-charged-tokens"])


def bearer(payer: Payer) -> dict[str, str]:
    return {"authorization": f"Bearer {payer.key}"}


async def at_once(gateway_url: str, payer: Payer) -> list[httpx.Response]:
    """All calls behind one barrier, each on a connection of its own."""
    barrier = asyncio.Barrier(CALLS)
    limits = httpx.Limits(max_connections=CALLS)

    async with httpx.AsyncClient(limits=limits, timeout=60) as client:

        async def call() -> httpx.Response:
            await barrier.wait()
            url = f"{gateway_url}/v1/chat/completions"
            return await client.post(url, json=BODY, headers=HEADERS | bearer(payer))

        return await asyncio.gather(*(call() for _ in range(CALLS)))


def the_race(gateway_url: str, oracle: Oracle, payer: Payer) -> None:
    cost = cost_of_one(gateway_url, payer)
    rich = open_payer(tokens=GRANTED * cost)
    before = oracle.calls()

    answers = asyncio.run(at_once(gateway_url, rich))

    served = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert (len(served), len(refused)) == (GRANTED, CALLS - GRANTED)
    assert {answer.json()["error"]["code"] for answer in refused} == {"insufficient_quota"}
    assert {answer.headers["x-should-retry"] for answer in refused} == {"false"}
    assert oracle.calls() - before == GRANTED
    account = rich.settled()
    generated = [oracle.ending(answer.headers["x-request-id"]) for answer in served]
    assert sum(call["tokens_generated"] + call["prompt_tokens"] for call in generated) == account.spent
    assert (account.spent, account.available, account.held, account.absorbed) == (GRANTED * cost, 0, 0, 0)


def test_exactly_the_granted_calls_are_served(gateway_url: str, oracle: Oracle, payer: Payer) -> None:
    the_race(gateway_url, oracle, payer)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("_repeat", range(20))
def test_twenty_times_in_a_row(gateway_url: str, oracle: Oracle, payer: Payer, _repeat: int) -> None:
    the_race(gateway_url, oracle, payer)
