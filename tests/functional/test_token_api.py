"""The token API beside real calls: quotas to the token while calls go on, and the story of each call afterwards."""

import asyncio
import csv
import io
from typing import Any
from uuid import uuid4

import httpx
import pytest

from apps.accounts import api as accounts
from apps.core.http.caller import ALL_SCOPES
from tests.functional.payers import Payer, eventually, open_payer
from tests.functional.test_barrier import BODY, HEADERS, bearer, cost_of_one

CALLS = 12
GRANTED = 1_000_000


@pytest.fixture
def api(gateway_url: str, payer: Payer) -> Any:
    """Asks the token API as the payer; the answer's JSON."""
    client = httpx.Client(base_url=gateway_url, headers=bearer(payer), timeout=20)

    def ask(path: str, **query: Any) -> Any:
        answer = client.get(f"/api/v1/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    with client:
        yield ask


def test_the_quota_is_right_to_the_token_while_calls_go_on(gateway_url: str, payer: Payer, api: Any) -> None:
    """Whenever one looks, what remains, is held and is spent add up; at the end nothing is held."""
    cost = cost_of_one(gateway_url, payer)
    seen: list[dict[str, Any]] = []

    async def calls_and_looks() -> None:
        headers = HEADERS | bearer(payer)
        async with httpx.AsyncClient(base_url=gateway_url, headers=headers, timeout=60) as client:
            calls = [asyncio.create_task(client.post("/v1/chat/completions", json=BODY)) for _ in range(CALLS)]
            while not all(call.done() for call in calls):
                look = await client.get(
                    "/api/v1/tokens/quota", params={"userId": str(payer.user_id), "provider": "openai"}
                )
                seen.append(look.json())
            assert {(await call).status_code for call in calls} == {200}

    asyncio.run(calls_and_looks())
    quota = api("providers/openai/quota")

    spent = (CALLS + 1) * cost
    assert (quota["spentTokens"], quota["heldTokens"], quota["remainingTokens"]) == (
        spent,
        0,
        quota["totalTokens"] - spent,
    )
    for look in [*seen, quota]:
        assert look["totalTokens"] == look["remainingTokens"] + look["heldTokens"] + look["spentTokens"]
    assert max(look["callsUnderWay"] for look in seen) > 0


def test_a_call_is_told_by_its_receipt_its_statement_and_its_explanation(
    gateway_url: str, payer: Payer, api: Any
) -> None:
    answer = httpx.post(f"{gateway_url}/v1/chat/completions", json=BODY, headers=bearer(payer))
    usage = answer.json()["usage"]
    reservation, request_id = answer.headers["x-reservation-id"], answer.headers["x-request-id"]
    assert eventually(lambda: api("receipts")["items"] and api("receipts")["items"][0]["state"] == "settled")

    receipt = api(f"receipts/{reservation}")
    assert (receipt["requestId"], receipt["outcome"], receipt["httpStatus"]) == (request_id, "completed", 200)
    assert (receipt["tokens"]["input"], receipt["tokens"]["output"]) == (
        usage["prompt_tokens"], usage["completion_tokens"]
    )  # fmt: skip
    assert [item["id"] for item in api("receipts", request_id=request_id)["items"]] == [reservation]

    (call,) = api(f"requests/{request_id}/explanation")["calls"]
    assert (call["decision"], call["reservationId"], call["code"]) == ("admitted", reservation, "completed")
    assert f"{receipt['charged']:,} tokens were charged" in " ".join(call["sentences"])

    statement = api("tokens/statement", provider="openai", limit=200)
    assert sum(item["change"] for item in statement["items"]) == statement["balance"] == GRANTED - receipt["charged"]
    spending = [item for item in statement["items"] if item["reference"] == reservation and item["to"] == "spent"]
    assert [item["tokens"] for item in spending] == [receipt["charged"]]


def test_the_statement_comes_as_csv_through_the_gateway(gateway_url: str, payer: Payer, api: Any) -> None:
    cost_of_one(gateway_url, payer)
    with httpx.stream(
        "GET", f"{gateway_url}/api/v1/tokens/statement", params={"provider": "openai"},
        headers=bearer(payer) | {"Accept": "text/csv"},
    ) as answer:  # fmt: skip
        rows = list(csv.DictReader(io.StringIO(answer.read().decode())))

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert (rows[-1]["code"], rows[-1]["balance"]) == ("GRANT", str(GRANTED))
    assert [row["id"] for row in rows] == [
        item["id"] for item in api("tokens/statement", provider="openai", limit=200)["items"]
    ]


def test_a_refused_call_says_why_to_whoever_paid_and_to_nobody_else(gateway_url: str, committed: None) -> None:
    poor, other = open_payer(tokens=1), open_payer(tokens=1)
    answer = httpx.post(f"{gateway_url}/v1/chat/completions", json=BODY, headers=bearer(poor))
    assert answer.status_code in {402, 429}
    path = f"{gateway_url}/api/v1/requests/{answer.headers['x-request-id']}/explanation"

    told = eventually(lambda: (found := httpx.get(path, headers=bearer(poor))).status_code == 200 and found.json())
    (call,) = told["calls"]
    assert (call["decision"], call["httpStatus"]) == ("refused", answer.status_code)
    assert call["code"] == answer.json()["error"]["code"]
    assert call["limit"]["needed"] > 1
    assert httpx.get(path, headers=bearer(other)).status_code == 404


def test_an_administrators_order_fills_a_pool_that_members_then_spend(gateway_url: str, payer: Payer) -> None:
    from apps.accounts.models import Role  # noqa: PLC0415 (models are read once Django is set up)
    from apps.orgs import api as orgs  # noqa: PLC0415

    operator = accounts.open_user(f"a{uuid4().hex[:12]}", f"{uuid4().hex}@example.org", uuid4().hex)
    operator.roles.add(Role.objects.get(name="ADMIN"))
    _key, text = accounts.create_api_key(operator, "orders", scopes=sorted(ALL_SCOPES))
    org = orgs.open_organisation(f"o{uuid4().hex[:12]}", "Engines")
    orgs.join(org, payer.user_id, "member")
    body = {"orgId": str(org.pk), "provider": "openai", "totalTokens": 50_000}
    with httpx.Client(base_url=gateway_url, timeout=20) as client:
        made = client.post("/api/v1/tokens/quota/org", json=body, headers={"Authorization": f"Bearer {text}"})
        call = client.post(
            "/v1/chat/completions", json=BODY, headers=bearer(payer) | {"OpenAI-Organization": str(org.pk)}
        )
        query = {"orgId": str(org.pk)}

        def used() -> list[dict[str, Any]]:
            pools = client.get("/api/v1/tokens/quota/org/pools", params=query, headers=bearer(payer))
            return list(pools.json()["items"][0]["members"])

        members = eventually(used)

    assert (made.status_code, made.json()["totalTokens"], call.status_code) == (201, 50_000, 200)
    assert [(one["userId"], one["calls"]) for one in members] == [(str(payer.user_id), 1)]
