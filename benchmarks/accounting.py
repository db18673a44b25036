"""``python -m benchmarks.accounting``: holds and settlements of a hot account, per second, by one gateway on one core.

Beside them, in the same run: the same functions with the same keys and arguments under ``redis-benchmark``, and the
backend that locks a row in PostgreSQL. Then with the workers' loops, which book the journal and share the stores' core:
how many pairs go beside that, and what PostgreSQL is asked by anybody over 10,000 of them.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks import bank, machine
from benchmarks.machine import Cores
from benchmarks.subjects import Bank, Stub

ROUNDS = 3
PAIRS, ROW_LOCK_PAIRS, COUNTED_PAIRS = 10_000, 500, 10_000
LIKE_REDIS, LIKE_ROW_LOCK, MUST_PER_SECOND = 0.4, 5.0, 5_000
CLIENTS = 64
BESIDE = "leases, being drained"
PROJECT = str(Path(__file__).parent.parent)
PATIENT = {"GATEWAY_VALKEY_TIMEOUT_SECONDS": "10", "GATEWAY_JOURNAL_LIMIT": "10000000"}
"""A disk or a ledger that is slow for a moment is measured, not refused."""

STATEMENTS = (
    "SELECT queryid, sum(calls), min(query) FROM pg_stat_statements "
    "WHERE userid <> 'postgres'::regrole GROUP BY queryid"
)


@dataclass(frozen=True, slots=True)
class Run:
    """Pairs of a hold and its settlement per second, and the processor's time that our process took for one."""

    per_second: float
    cpu_us: float = float("nan")


class Asker:
    """A gateway's quota in a process of its own (:mod:`benchmarks.pairs`)."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.about = self._heard()

    def ask(self, words: str) -> Run:
        """Have it do a piece of work."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        self._process.stdin.write(f"{words}\n")
        self._process.stdin.flush()
        told = self._heard()
        return Run(told["pairs"] / told["seconds"], told["cpu_seconds"] / told["pairs"] * 1e6)

    def _heard(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        for line in self._process.stdout:
            if line.startswith("BENCH "):
                return dict(json.loads(line.removeprefix("BENCH ")))
        raise machine.UnfitMachineError("the gateway's quota ended; what it said is above")


def main() -> int:
    """Measure, and print a table."""
    try:
        cores = machine.choose_cores(force="--force" in sys.argv)
    except machine.UnfitMachineError as unfit:
        print(unfit, file=sys.stderr)
        return 2
    machine.settle_on(cores)
    with tempfile.TemporaryDirectory(prefix="leaky-accounting-") as name, ExitStack() as stack:
        directory = Path(name) / "bank"
        stores = stack.enter_context(bank.running_bank(directory, cores, Stub(9, 9), drained=False))
        runs = measured(stores, cores)
        stack.enter_context(bank.draining(cores, directory, stores.environment))
        beside, counted = statements_of(stores, cores)
    show(runs | {BESIDE: [beside]}, counted)
    return 0


def measured(stores: Bank, cores: Cores) -> dict[str, list[Run]]:
    """All three, in turn, round after round."""
    runs: dict[str, list[Run]] = {"leases": [], "redis-benchmark": [], "row lock": []}
    for _ in range(ROUNDS):
        with asker(stores, cores, "leases") as leases:
            leases.ask("pairs 1000")
            runs["leases"].append(leases.ask(f"pairs {PAIRS}"))
            about = leases.about
        runs["redis-benchmark"].append(bare(stores, cores, about))
        with asker(stores, cores, "postgres") as row_lock:
            row_lock.ask("pairs 100")
            runs["row lock"].append(row_lock.ask(f"pairs {ROW_LOCK_PAIRS}"))
    return runs


@contextmanager
def asker(stores: Bank, cores: Cores, backend: str) -> Iterator[Asker]:
    """A gateway's quota with this backend, on the subject's core."""
    spool = tempfile.TemporaryDirectory(prefix="leaky-spool-")
    own = {
        "GATEWAY_SPOOL_DIR": spool.name,
        "QUOTA_BACKEND": backend,
        "BENCH_KEY": stores.api_key,
        "PYTHONPATH": PROJECT,
    }
    process = subprocess.Popen(
        ["taskset", "-c", str(cores.subject), sys.executable, "-m", "benchmarks.pairs"],
        env=os.environ | stores.environment | PATIENT | own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield Asker(process)
    finally:
        process.kill()
        process.wait()
        spool.cleanup()


def bare(stores: Bank, cores: Cores, about: Mapping[str, Any]) -> Run:
    """The functions themselves: their pairs per second are those of a hold and of a settlement, one after the other."""
    command = [sys.executable, "-m", "benchmarks.bare", "prepare", about["account"], about["facts"]]
    own = {"PYTHONPATH": PROJECT}
    environment = os.environ | stores.environment | own
    prepared = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    calls = json.loads(prepared.stdout)
    rates = [_redis_benchmark(stores, cores, call) for call in (calls["reserve"], calls["settle"])]
    subprocess.run([*command[:3], "forget", about["account"]], env=environment, check=True)
    return Run(1 / sum(1 / rate for rate in rates))


def _redis_benchmark(stores: Bank, cores: Cores, call: Mapping[str, Any]) -> float:
    where = urlsplit(stores.environment["QUOTA_REDIS_URL"])
    command = [
        "taskset", "-c", str(cores.subject), "redis-benchmark", "-h", str(where.hostname), "-p", str(where.port),
        "-a", str(where.password), "-c", str(CLIENTS), "-n", str(call["times"]), "-r", str(call["range"]), "--csv",
        *call["words"],
    ]  # fmt: skip
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # "name","rps","avg_latency_ms", and five more: the name holds whatever the arguments hold.
    found = re.search(r'"([0-9.]+)"(?:,"[0-9.]+"){6}\s*$', output)
    if found is None:
        raise machine.UnfitMachineError(f"redis-benchmark said: {output[-500:]}")
    return float(found[1])


def statements_of(stores: Bank, cores: Cores) -> tuple[Run, list[tuple[str, int]]]:
    """10,000 calls are held and settled while loops book them; and what PostgreSQL was asked meanwhile, by whomever."""
    with (
        asker(stores, cores, "leases") as leases,
        psycopg.connect(stores.administrator_url, autocommit=True) as watching,
    ):
        watching.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        leases.ask("pairs 1000")
        before = {key: calls for key, calls, _ in watching.execute(STATEMENTS)}
        beside = leases.ask(f"pairs {COUNTED_PAIRS}")
        rows = watching.execute(STATEMENTS).fetchall()
    asked = [(str(query), int(calls) - int(before.get(key, 0))) for key, calls, query in rows]
    return beside, sorted(((query, calls) for query, calls in asked if calls), key=lambda pair: -pair[1])


def show(runs: Mapping[str, Sequence[Run]], counted: Sequence[tuple[str, int]]) -> None:
    """Print the table and what PostgreSQL was asked."""
    medians = {name: statistics.median(run.per_second for run in found) for name, found in runs.items()}
    table = Table("one hot account", "pairs/s", "lowest", "highest", "CPU µs/pair", title="Hold and settlement")
    for name, found in runs.items():
        rates = [run.per_second for run in found]
        cpu = statistics.median(run.cpu_us for run in found)
        table.add_row(name, *(f"{rate:,.0f}" for rate in (medians[name], min(rates), max(rates))), f"{cpu:.1f}")
    console = Console(width=140)
    console.print(table)
    ours = medians["leases"]
    for text, found_value, must in (
        ("leases by redis-benchmark", ours / medians["redis-benchmark"], LIKE_REDIS),
        ("leases by row lock", ours / medians["row lock"], LIKE_ROW_LOCK),
        ("leases, pairs/s", ours, MUST_PER_SECOND),
    ):
        verdict = "met" if found_value >= must else "NOT MET"
        console.print(f"{text}: {found_value:,.2f}, must be {must:,} or more: {verdict}")
    console.print(f"statements that PostgreSQL was asked over {COUNTED_PAIRS:,} pairs, those of the loops included:")
    for query, calls in counted[:12]:
        console.print(f"  {calls:>7,}  {' '.join(query.split())[:110]}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
