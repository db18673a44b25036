"""SIGTERM to a gateway under streams: what has begun is finished and booked, nothing begins, and it ends by itself."""

import asyncio
import signal
from urllib.parse import urlsplit

from apps.quotas import api as quotas
from tests.faults.conftest import StartGateway
from tests.functional.payers import Oracle, Payer
from tests.functional.raw_client import RawCall, read_to_their_ends, streams_in_their_midst
from tests.functional.usage_events import booked

STREAMS, TOKENS, CHUNK_DELAY_MS = 10, 40, 40
REFUSE_SECONDS, END_SECONDS = 2, 10


async def under_way(url: str, payer: Payer, tokens: int) -> list[RawCall]:
    return await streams_in_their_midst(url, payer, streams=STREAMS, tokens=tokens, chunk_delay_ms=CHUNK_DELAY_MS)


def test_a_gateway_that_is_told_to_stop_finishes_what_it_has_begun(
    start_gateway: StartGateway, oracle: Oracle, payer: Payer
) -> None:
    gateway = start_gateway(hold_seconds=60, renew_seconds=10)
    with asyncio.Runner() as runner:
        calls = runner.run(under_way(gateway.url, payer, TOKENS))
        gateway.send(signal.SIGTERM)
        runner.run(refused(gateway.url))
        runner.run(read_to_their_ends(calls))

    assert gateway.process.wait(timeout=END_SECONDS) == 0
    assert all(call.whole and call.events[-1] == b"[DONE]" for call in calls)
    charges = [booked(call.request_id)["charged"] for call in calls]
    used = [oracle.ending(call.request_id)["usage"]["total_tokens"] for call in calls]
    assert charges == used
    account = payer.balance()
    assert (account.spent, account.held) == (sum(charges), 0)
    assert quotas.check_identities() == []


def test_streams_that_take_too_long_are_cut_and_booked(
    start_gateway: StartGateway, oracle: Oracle, payer: Payer
) -> None:
    gateway = start_gateway(hold_seconds=60, renew_seconds=10, drain_seconds=1)
    with asyncio.Runner() as runner:
        calls = runner.run(under_way(gateway.url, payer, 1000))
        gateway.send(signal.SIGTERM)
        runner.run(read_to_their_ends(calls))

    assert gateway.process.wait(timeout=END_SECONDS) == 0
    assert not any(call.whole for call in calls)
    for call in calls:
        served, event = oracle.ending(call.request_id), booked(call.request_id)
        assert (event["outcome"], event["usage_source"]) == ("aborted", "counted")
        assert served["client_left"]
        assert abs(event["charged"] - served["prompt_tokens"] - served["tokens_generated"]) <= 1
    assert payer.balance().held == 0
    assert quotas.check_identities() == []


async def refused(url: str) -> None:
    """Wait until the gateway does not listen any more, which is soon: its streams go on."""
    address = urlsplit(url)
    async with asyncio.timeout(REFUSE_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection(address.hostname, address.port)
            except (ConnectionRefusedError, ConnectionResetError):
                return  # reset: the kernel had taken the connection, and the listener closed before the gateway did
            writer.close()
            await writer.wait_closed()
