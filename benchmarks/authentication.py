"""``python -m benchmarks.authentication``: what authentication costs a call whose credential has been seen before.

In one process, on one core, without a network: the gateway's own authenticator is asked again and again by requests
that are made beforehand. Subtracted is an empty coroutine, awaited as often: what is left is what authentication adds.
Measured is processor time, so that other work on the machine counts only by what it does to the caches.
"""

import os
import secrets
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast
from uuid import UUID, uuid4

import uvloop
from rich.console import Console
from rich.table import Table

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leaky_tokens.settings.test")  # No store is asked, no secret needed.

from apps.accounts import keys
from apps.core.http.caller import INFERENCE, KEY_SCOPES
from benchmarks import machine
from benchmarks.machine import Cores
from gateway.authentication import Authenticator
from gateway.control_plane import AccessClaims, Principal
from gateway.exchange import Exchange
from gateway.freshness import Freshness
from gateway.server.request import Head, Line, Request

PASSES, CALLS = 7, 100_000
CREDENTIALS = 1_000
"""Seen before, and asked for in turn, so that no processor cache holds only one of them."""

MOST_MICROSECONDS, FEWEST_PER_SECOND = 5, 20_000

NOBODY = cast("Line", None)
"""Nothing is read or answered."""

Ask = Callable[[Exchange], Awaitable[object]]


def main() -> None:
    """Measure keys and tokens, and print a table."""
    cores = machine.choose_cores(force=True)
    machine.settle_on(Cores(subject=cores.load, load=cores.subject))  # here we ourselves are what is measured
    table = Table("credential seen before", "µs added", "lowest", "highest", "checks/s/core", "goal")
    for kind, credential in (("API key", keys.issue(uuid4())), ("access token", token())):
        added = uvloop.run(measured(kind, credential))
        median = statistics.median(added)
        met = median <= MOST_MICROSECONDS and 1e6 / median >= FEWEST_PER_SECOND
        figures = (f"{value:.2f}" for value in (median, min(added), max(added)))
        table.add_row(kind, *figures, f"{1e6 / median:,.0f}", "met" if met else "not met")
    Console().print(table)


async def measured(kind: str, credential: str) -> list[float]:
    """Microseconds that authentication adds to a call, in each of the passes."""
    principals = {text: principal(kind) for text in variants(credential)}
    authenticator = _authenticator(principals)
    exchanges = [exchange(text) for text in principals]
    await _pass(lambda asked: authenticator.principal(asked, INFERENCE), exchanges)
    return [
        await _pass(lambda asked: authenticator.principal(asked, INFERENCE), exchanges)
        - await _pass(nothing, exchanges)
        for _ in range(PASSES)
    ]


def variants(credential: str) -> list[str]:
    """Credentials of this form. Of a token only the end differs."""
    if credential.startswith("leaky_"):
        return [keys.issue(uuid4()) for _ in range(CREDENTIALS)]
    return [f"{credential[:-6]}{number:06}" for number in range(CREDENTIALS)]


def token() -> str:
    """A text of the length of our access tokens (RS256, all claims): some 800 characters."""
    return f"{secrets.token_urlsafe(70)}.{secrets.token_urlsafe(270)}.{secrets.token_urlsafe(256)}"


def principal(kind: str) -> Principal:
    """Somebody whose credential ends, as tokens do."""
    user = uuid4()
    name = "api_key" if kind == "API key" else "jwt"
    return Principal(secrets.token_hex(5), user, "user", user, None, "FREE", None, None, kind=name, scopes=KEY_SCOPES)


def exchange(credential: str) -> Exchange:
    """A call with the headers that the official SDK sends."""
    headers = [
        (b"host", b"gateway.example"), (b"accept-encoding", b"gzip, deflate"), (b"connection", b"keep-alive"),
        (b"accept", b"application/json"), (b"content-type", b"application/json"), (b"user-agent", b"OpenAI/Python"),
        (b"x-stainless-lang", b"python"), (b"x-stainless-package-version", b"2.0.0"), (b"x-stainless-os", b"Linux"),
        (b"x-stainless-arch", b"x64"), (b"x-stainless-runtime", b"CPython"), (b"x-stainless-async", b"false"),
        (b"authorization", b"Bearer " + credential.encode()), (b"content-length", b"214"),
    ]  # fmt: skip
    path = "/v1/chat/completions"
    return Exchange(Request(NOBODY, Head("POST", path, path.encode(), b"", "203.0.113.7", headers)), 0.0)


async def nothing(*_messages: object) -> Any:
    """An empty coroutine: what awaiting alone costs."""


def _authenticator(principals: dict[str, Principal]) -> Authenticator:
    async def look_up(credential: str | AccessClaims, _org: UUID | None) -> Principal:
        return principals[str(credential)]

    freshness = Freshness(nothing, tolerated_s=3600, outage_s=3600)
    uses: dict[str, float] = {}
    # What a token says is checked once and never for a credential seen before; here its text stands for it.
    verify: Callable[[str], Any] = str
    return Authenticator(look_up, verify, freshness, uses.__setitem__, size=2 * CREDENTIALS)


async def _pass(ask: Ask, exchanges: list[Exchange]) -> float:
    """Microseconds of processor time per call."""
    started = time.process_time()
    for _ in range(CALLS // len(exchanges)):
        for asked in exchanges:
            await ask(asked)
    return (time.process_time() - started) / CALLS * 1e6


if __name__ == "__main__":
    main()
