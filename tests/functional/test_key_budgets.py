"""A key's own budget ends its calls, whatever its payer has."""

import asyncio
from uuid import uuid4

import httpx

from apps.accounts import api as accounts
from apps.quotas import api as quotas
from tests.functional.payers import Oracle, Payer, eventually, open_payer
from tests.functional.test_barrier import BODY, HEADERS, bearer, cost_of_one

PARALLEL, AFFORDED = 50, 10


def with_budget(payer: Payer, tokens: int) -> Payer:
    """The same payer with another key, which may spend ``tokens``."""
    _, text = accounts.create_api_key(accounts.find_user_by_id(payer.user_id), uuid4().hex, budget=tokens)
    return Payer(payer.user_id, text, payer.account)


async def at_once(gateway_url: str, payer: Payer) -> list[httpx.Response]:
    barrier = asyncio.Barrier(PARALLEL)
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=PARALLEL), timeout=60) as client:

        async def call() -> httpx.Response:
            await barrier.wait()
            url = f"{gateway_url}/v1/chat/completions"
            return await client.post(url, json=BODY, headers=HEADERS | bearer(payer))

        return await asyncio.gather(*(call() for _ in range(PARALLEL)))


def test_exactly_the_calls_that_the_budget_affords_are_served(gateway_url: str, oracle: Oracle, payer: Payer) -> None:
    cost = cost_of_one(gateway_url, payer)
    rich = open_payer(tokens=2 * PARALLEL * cost)
    limited = with_budget(rich, AFFORDED * cost)
    before = oracle.calls()

    answers = asyncio.run(at_once(gateway_url, limited))

    refused = [answer for answer in answers if answer.status_code == 429]
    assert ([answer.status_code for answer in answers].count(200), len(refused)) == (AFFORDED, PARALLEL - AFFORDED)
    assert {answer.json()["error"]["code"] for answer in refused} == {"key_budget_exceeded"}
    assert {answer.headers["x-should-retry"] for answer in refused} == {"false"}
    assert f"may spend {AFFORDED * cost} tokens" in refused[0].json()["error"]["message"]
    assert oracle.calls() - before == AFFORDED
    spent = AFFORDED * cost
    assert eventually(lambda: quotas.budget_of(accounts.parse_key(limited.key).id) == (spent, 0))
    assert (rich.settled().spent, rich.settled().held) == (spent, 0)
    assert httpx.post(f"{gateway_url}/v1/chat/completions", json=BODY, headers=bearer(rich)).status_code == 200
