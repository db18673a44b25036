"""Calls that outlive their hold's expiry: charged what they had reported, then corrected, once, to what they used."""

import asyncio
import signal

import pytest

from apps.quotas import api as quotas
from tests.faults.conftest import StartGateway
from tests.faults.gateways import GatewayProcess
from tests.functional.payers import Oracle, Payer, eventually
from tests.functional.raw_client import RawCall, read_to_their_ends, streams_in_their_midst
from tests.functional.usage_events import events_of

TOKENS, CHUNK_DELAY_MS = 60, 50
EVENTS_BEFORE_THE_FREEZE = 15
NEVER = 600


async def begun(url: str, payer: Payer, tokens: int) -> RawCall:
    """A stream in its midst."""
    (call,) = await streams_in_their_midst(
        url, payer, streams=1, tokens=tokens, chunk_delay_ms=CHUNK_DELAY_MS, events=EVENTS_BEFORE_THE_FREEZE
    )
    return call


def test_a_stream_that_outlives_its_hold_is_charged_once(
    start_gateway: StartGateway, oracle: Oracle, payer: Payer
) -> None:
    gateway = start_gateway(hold_seconds=0.3, renew_seconds=NEVER)

    with asyncio.Runner() as runner:
        call = runner.run(begun(gateway.url, payer, TOKENS))
        runner.run(read_to_their_ends([call]))

    assert call.whole
    assert call.events[-1] == b"[DONE]"
    served = oracle.ending(call.request_id)
    assert eventually(lambda: len(events_of(call.request_id)) == 2)
    expiry, correction = events_of(call.request_id)
    assert (expiry["outcome"], expiry["charged"], expiry["corrects"]) == ("expired", 0, None)
    assert (correction["outcome"], correction["corrects"]) == ("completed", expiry["reservation_id"])
    assert correction["charged"] == served["usage"]["total_tokens"]
    account = payer.balance()
    assert (account.spent, account.held) == (served["usage"]["total_tokens"], 0)
    assert account.available + account.spent == account.granted
    assert quotas.check_identities() == []


def stream_over_a_freeze(gateway: GatewayProcess, payer: Payer, tokens: int) -> RawCall:
    """A stream whose gateway is frozen in its midst until the hold has ended, and then goes on."""
    with asyncio.Runner() as runner:
        call = runner.run(begun(gateway.url, payer, tokens))
        gateway.send(signal.SIGSTOP)
        assert payer.settled().held == 0
        gateway.send(signal.SIGCONT)
        runner.run(read_to_their_ends([call]))
    return call


@pytest.mark.parametrize("tokens", [30, 400], ids=["ended meanwhile", "still going on"])
def test_a_frozen_gateway_charges_once_when_it_goes_on(
    start_gateway: StartGateway, oracle: Oracle, payer: Payer, tokens: int
) -> None:
    gateway = start_gateway(hold_seconds=1, renew_seconds=0.3)

    call = stream_over_a_freeze(gateway, payer, tokens)

    served = oracle.ending(call.request_id)
    assert eventually(lambda: len(events_of(call.request_id)) == 2)
    expiry, correction = events_of(call.request_id)
    assert (expiry["outcome"], expiry["finished_by"]) == ("expired", "sweeper")
    assert expiry["charged"] >= served["prompt_tokens"]
    assert correction["outcome"] in ("completed", "hold_lost")
    account = payer.balance()
    assert account.spent == expiry["charged"] + correction["charged"]
    used = served["prompt_tokens"] + served["tokens_generated"]
    if call.whole and call.events[-1] == b"[DONE]":
        assert account.spent == used == served["prompt_tokens"] + tokens
    else:
        assert correction["outcome"] == "hold_lost"
        assert served["prompt_tokens"] + len(call.events) - 2 <= account.spent <= used
    assert (account.held, account.available + account.spent) == (0, account.granted)
    assert quotas.check_identities() == []
