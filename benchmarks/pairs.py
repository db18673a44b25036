"""``python -m benchmarks.pairs``: one gateway process without its HTTP, asked for holds and settlements alone.

A child of :mod:`benchmarks.accounting`. It says ``ready``; then each line of its input is a piece of work, ``pairs N``
(so many, as fast as they go) or ``payers N M`` (M of them over N payers), and is answered by a line.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count, repeat
from typing import cast

import orjson
import uvloop

from apps.core.ids import uuid7
from apps.core.units import Usage
from benchmarks import workload
from benchmarks.bare import payer
from gateway.app import Gateway
from gateway.control_plane import ClaimEnd, Database, Settlement
from gateway.dialects.openai.operations import CHAT
from gateway.exchange import Exchange
from gateway.plan import plan_call
from gateway.quota import Demand, Ending, Quota, Terms
from gateway.server.request import Head, Line, Request
from gateway.terms import TermsBook, demand_of
from gateway.valkey_cluster import Store

UNDER_WAY = 64
READY_SECONDS = 0.1
STEP = 7919
USED = Usage(input=20, output=16)


class HoldsOnly(Gateway):
    """A gateway whose quota can be asked without a call."""

    quota: Quota

    def _quota(self, database: Database, store: Store) -> Quota:
        self.quota = super()._quota(database, store)
        return self.quota


async def main() -> None:
    """Start, and do what each line of the input says."""
    gateway = HoldsOnly()
    await gateway.start()
    while gateway.missing():  # noqa: ASYNC110 - nothing tells when it is ready
        await asyncio.sleep(READY_SECONDS)
    demand = await _demand(gateway)
    _say({"ready": True, "account": str(demand.terms.account), "facts": demand.facts_json.decode()})
    while line := await asyncio.to_thread(sys.stdin.readline):
        word, *numbers = line.split()
        turn = repeat(demand.terms) if word == "pairs" else terms_of(demand.terms, int(numbers[0]))
        _say(await measured(gateway.quota, demand, turn, int(numbers[-1])))
    os._exit(0)  # What is left in the spool is of no interest to anybody.


def terms_of(like: Terms, payers: int) -> Iterator[Terms]:
    """Of so many payers in turn, spread over all of them; a step that is prime meets each."""
    for number in count():
        yield replace(like, account=payer(number * STEP % payers))


async def measured(quota: Quota, demand: Demand, turn: Iterator[Terms], pairs: int) -> dict[str, float]:
    """Hold and settle ``pairs`` times, 64 at once; the processor's time is that of this process."""
    left = iter(range(pairs))
    wall, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(_repeat(lambda: _pair(quota, demand, turn), left) for _ in range(UNDER_WAY)))
    return {"pairs": pairs, "seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - used}


async def _repeat(pair: Callable[[], Awaitable[None]], left: Iterator[int]) -> None:
    for _ in left:
        await pair()


async def _pair(quota: Quota, like: Demand, turn: Iterator[Terms]) -> None:
    terms = next(turn)
    demand = Demand(uuid7(), like.amount, terms, like.facts, like.facts_json, (), None)
    admitted = await quota.admit(demand)
    settlement = Settlement(demand.hold, demand.terms.account, 36, USED, "completed", "provider", 200, 1, 1)
    await quota.end(demand, admitted, Ending(settlement, ClaimEnd.DONE))()


async def _demand(gateway: HoldsOnly) -> Demand:
    """What the call of every measurement asks for."""
    headers = [(b"host", b"localhost"), (b"authorization", b"Bearer " + os.environ["BENCH_KEY"].encode())]
    path = "/v1/chat/completions"
    exchange = Exchange(Request(cast("Line", None), Head("POST", path, path.encode(), b"", "127.0.0.1", headers)), 0.0)
    principal = await gateway.authenticator.principal(exchange)
    body = orjson.loads(workload.request_body(stream=False))
    plan = plan_call(gateway.snapshot, principal, CHAT, body, datetime.now(UTC))
    return demand_of(exchange, plan, TermsBook().of(plan), None)


def _say(answer: object) -> None:
    print(f"BENCH {json.dumps(answer)}", flush=True)


if __name__ == "__main__":
    uvloop.run(main())
