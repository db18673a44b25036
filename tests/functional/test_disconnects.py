"""Clients that leave: they pay for what was read for them and no more, and the provider is let go at once (row 84)."""

import asyncio
import random
from dataclasses import dataclass

import pytest

from tests.functional.payers import Oracle, Payer, eventually
from tests.functional.raw_client import RawCall, abandon_after, send
from tests.functional.usage_events import booked

STREAMS, AT_ONCE = 200, 40
TOKENS = 20
CHUNK_DELAYS_MS = (100, 120, 150)
"""Longer than a busy machine lets a process wait, so that at most one chunk is under way when the gateway cancels."""

EVENTS = TOKENS + 3
"""As the client sees it: the role, the tokens, the finish reason, ``[DONE]``."""

LET_GO_SECONDS = 1.0
SEED = 20_240_501


@dataclass(frozen=True, slots=True)
class Left:
    """A client that has left, when (monotonic), and how many events it had read."""

    request_id: str
    events: int
    at: float

    @property
    def tokens(self) -> int:
        """Output tokens that it had read."""
        return min(max(self.events - 1, 0), TOKENS)


async def abandoned_streams(gateway_url: str, payer: Payer) -> list[Left]:
    """Streams whose clients leave after a random event."""
    choice = random.Random(SEED)
    places = asyncio.Semaphore(AT_ONCE)

    async def one(events: int, delay_ms: int) -> Left:
        async with places:
            call = await send(gateway_url, payer, tokens=TOKENS, orders={"chunk-delay-ms": delay_ms})
            return Left(call.request_id, events, await abandon_after(call, events, choice))

    plans = [(choice.randint(0, EVENTS), choice.choice(CHUNK_DELAYS_MS)) for _ in range(STREAMS)]
    return await asyncio.gather(*(one(*plan) for plan in plans))


def test_who_leaves_a_stream_pays_for_what_was_read(gateway_url: str, oracle: Oracle, payer: Payer) -> None:
    left = asyncio.run(abandoned_streams(gateway_url, payer))

    account = payer.settled()
    assert account.held == 0
    charges = [charge_of(client, oracle) for client in left]
    assert account.spent == sum(charges)
    assert account.available + account.leased + account.spent == account.granted


def charge_of(left: Left, oracle: Oracle) -> int:
    """What a client that left was charged, held against the provider's record of the call.

    One that leaves at once may be noticed before its call has: then the provider has no record, and nothing is charged.
    """
    if left.events == 0 and not oracle.lines(left.request_id):
        unsent = booked(left.request_id)
        assert (unsent["outcome"], unsent["charged"], unsent["status"]) == ("client_closed", 0, 499)
        return 0
    served, event = oracle.ending(left.request_id), booked(left.request_id)
    used = served["prompt_tokens"] + served["tokens_generated"]
    if left.events == EVENTS:
        assert (event["outcome"], event["usage_source"], served["tokens_generated"]) == (
            "completed",
            "provider",
            TOKENS,
        )
    if event["usage_source"] == "provider":
        assert event["charged"] == used == served["usage"]["total_tokens"]
    else:
        assert (event["outcome"], event["usage_source"], event["status"]) == ("client_closed", "counted", 499)
        assert abs(event["charged"] - used) <= 1, (left, event, served)
        assert event["charged"] >= served["prompt_tokens"] + left.tokens
    assert served["monotonic"] - left.at <= LET_GO_SECONDS
    return int(event["charged"])


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
def test_who_leaves_before_the_first_byte_pays_for_the_prompt(
    gateway_url: str, oracle: Oracle, payer: Payer, stream: bool
) -> None:
    async def leave_before_the_first_byte() -> Left:
        call = await send(gateway_url, payer, tokens=TOKENS, stream=stream, orders={"delay-ms": 20_000})
        await asyncio.to_thread(eventually, lambda: oracle.lines(call.request_id))
        return Left(call.request_id, 0, await call.leave())

    left = asyncio.run(leave_before_the_first_byte())

    served, event = oracle.ending(left.request_id), booked(left.request_id)
    assert (event["outcome"], event["charged"]) == ("client_closed", served["prompt_tokens"])
    assert (served["client_left"], served["tokens_generated"]) == (True, 0)
    assert served["monotonic"] - left.at <= LET_GO_SECONDS
    assert (payer.settled().spent, payer.balance().held) == (served["prompt_tokens"], 0)


def test_a_reset_in_a_plain_answer_frees_the_provider(gateway_url: str, oracle: Oracle, payer: Payer) -> None:
    """The provider's head has come and half of its body: what it will say of its usage is not known yet."""

    async def leave_in_the_body() -> Left:
        orders = {"fault": "stall=20000@1"}
        call = await send(gateway_url, payer, tokens=TOKENS, stream=False, orders=orders)
        await asyncio.to_thread(eventually, lambda: oracle.lines(call.request_id))
        return Left(call.request_id, 0, await call.leave(reset=True))

    left = asyncio.run(leave_in_the_body())

    served, event = oracle.ending(left.request_id), booked(left.request_id)
    assert (event["outcome"], event["charged"]) == ("client_closed", served["prompt_tokens"])
    assert served["monotonic"] - left.at <= LET_GO_SECONDS
    assert payer.settled().held == 0


def test_who_leaves_at_the_last_event_pays_the_whole_usage(gateway_url: str, oracle: Oracle, payer: Payer) -> None:
    async def read_to_done() -> RawCall:
        call = await send(gateway_url, payer, tokens=TOKENS)
        await call.head()
        while await call.event() != b"[DONE]":
            pass
        await call.leave(reset=True)
        return call

    call = asyncio.run(read_to_done())

    served, event = oracle.ending(call.request_id), booked(call.request_id)
    assert (event["outcome"], event["usage_source"]) == ("completed", "provider")
    assert event["charged"] == served["usage"]["total_tokens"] == served["prompt_tokens"] + TOKENS
    assert served["complete"]
