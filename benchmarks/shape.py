"""``python -m benchmarks.shape``: letting calls wait, against refusing them and having the official SDK try again.

Two payers with equal buckets, one of each mode, are asked for twice what their bucket lets through, in bursts with as
long a rest after each, by the official SDK with its own retries and back-off. Goodput is what was answered by the end.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from openai import APIStatusError, AsyncOpenAI
from rich.console import Console
from rich.table import Table

from benchmarks import bank, interleave, machine, processes, workload
from benchmarks.machine import Cores
from benchmarks.subjects import Site, Subject, gateway
from leaky_tokens.local.ports import free_port

TOKENS_PER_CALL = 36
"""What the stub's answer reports; what is held beyond it goes back into the bucket within milliseconds."""

CALLS_PER_SECOND = 8
CAPACITY = 100
"""Two calls at once, as they are held: 28 tokens of prompt and 16 of output at most."""

LEAK_RATE, MAX_WAIT_MS = CALLS_PER_SECOND * TOKENS_PER_CALL * 1000, 20_000
BURSTS, BURST_SECONDS, REST_SECONDS = 3, 5.0, 5.0
DEMAND = 2
LEAST_WAIT_MS = 250
"""Shorter waits say more of the SDK's own time, some ten milliseconds, than of the prediction."""

WARM_CALLS, WARM_SECONDS = 5, 0.5

MUST_GOODPUT, MUST_PREDICTED, TOLERANCE = 1.2, 0.95, 0.1


@dataclass(frozen=True, slots=True)
class Told:
    """One call: whether it was answered, how long that took, and which wait the gateway had said (0: none)."""

    answered: bool
    ms: float
    predicted_ms: int
    retries: int


def main() -> int:
    """Measure both, and print a table."""
    try:
        cores = machine.choose_cores(force="--force" in sys.argv)
    except machine.UnfitMachineError as unfit:
        print(unfit, file=sys.stderr)
        return 2
    machine.settle_on(cores)
    with tempfile.TemporaryDirectory(prefix="leaky-shape-") as name, ExitStack() as stack:
        directory = Path(name)
        stub = stack.enter_context(interleave.running_stub(directory, cores))
        stores = stack.enter_context(bank.running_bank(directory / "bank", cores, stub))
        keys = bank.seeded(stores, f"seed_shape({CAPACITY}, {LEAK_RATE}, {MAX_WAIT_MS})").split()
        subject = gateway(Site(directory / "gateway", free_port(), stub, lambda: stores))
        show(measured(subject, cores, directory, dict(zip(("police", "shape"), keys, strict=True))))
    return 0


def measured(subject: Subject, cores: Cores, directory: Path, keys: Mapping[str, str]) -> dict[str, list[Told]]:
    """Both payers at the same time: what disturbs one disturbs the other."""
    child = processes.start(
        subject.command, core=cores.subject, log=directory / "gateway.log", environment=subject.environment
    )
    try:
        processes.wait_until_ready(child, subject.port, subject.ready_path)
        return asyncio.run(_both(subject.port, keys))
    finally:
        child.stop()


async def _both(port: int, keys: Mapping[str, str]) -> dict[str, list[Told]]:
    answers = await asyncio.gather(*(_bursts(port, key) for key in keys.values()))
    return dict(zip(keys, answers, strict=True))


async def _bursts(port: int, key: str) -> list[Told]:
    """Calls fall due at an even rate while a burst lasts. Who has no answer at the end of the last rest, has none."""
    client = AsyncOpenAI(api_key=key, base_url=f"http://127.0.0.1:{port}/v1")
    for _ in range(WARM_CALLS):
        await _call(client)
        await asyncio.sleep(WARM_SECONDS)
    started, calls = time.monotonic(), []
    interval = 1 / (DEMAND * CALLS_PER_SECOND)
    for burst in range(BURSTS):
        begin = started + burst * (BURST_SECONDS + REST_SECONDS)
        for number in range(int(BURST_SECONDS / interval)):
            await asyncio.sleep(max(0.0, begin + number * interval - time.monotonic()))
            calls.append(asyncio.create_task(_call(client)))
    done, late = await asyncio.wait(calls, timeout=BURST_SECONDS + REST_SECONDS)
    for call in late:
        call.cancel()
    return [call.result() for call in done] + [Told(False, 0, 0, 0) for _ in late]  # noqa: FBT003 - named in the class


async def _call(client: AsyncOpenAI) -> Told:
    began = time.monotonic()
    try:
        answer = await client.chat.completions.with_raw_response.create(
            model=workload.MODEL, messages=[{"role": "user", "content": workload.QUESTION}], max_tokens=16
        )
    except APIStatusError:
        return Told(False, 0, 0, 0)  # noqa: FBT003 - named in the class
    waited = int(answer.headers.get("x-leaky-wait-ms", "0"))
    return Told(True, (time.monotonic() - began) * 1000, waited, answer.retries_taken)  # noqa: FBT003


def predicted_well(calls: Sequence[Told]) -> float:
    """The share of calls that took about as long as they were told to wait; what the SDK takes itself is included."""
    waited = [call for call in calls if call.predicted_ms >= LEAST_WAIT_MS and not call.retries]
    right = [call for call in waited if abs(call.ms - call.predicted_ms) <= TOLERANCE * call.predicted_ms]
    return len(right) / len(waited) if waited else float("nan")


def show(calls: Mapping[str, Sequence[Told]]) -> None:
    """Print the table and the two verdicts."""
    table = Table("mode", "asked", "answered", "retries", "median ms", title="Twice the rate, in bursts")
    for mode, told in calls.items():
        answered = [call for call in told if call.answered]
        median = statistics.median([call.ms for call in answered] or [float("nan")])
        retries = sum(call.retries for call in answered)
        table.add_row(mode, str(len(told)), str(len(answered)), str(retries), f"{median:,.0f}")
    console = Console(width=140)
    console.print(table)
    goodput = sum(call.answered for call in calls["shape"]) / max(1, sum(call.answered for call in calls["police"]))
    predicted = predicted_well(calls["shape"])
    console.print(
        f"goodput, refuse-and-retry being 1: {goodput:.2f}, must be {MUST_GOODPUT}: {_met(goodput, MUST_GOODPUT)}"
    )
    console.print(
        f"waits within {TOLERANCE:.0%} of what was said: {predicted:.1%}, must be {MUST_PREDICTED:.0%}: "
        f"{_met(predicted, MUST_PREDICTED)}"
    )


def _met(value: float, must: float) -> str:
    return "met" if value >= must else "NOT MET"


if __name__ == "__main__":
    sys.exit(main())
