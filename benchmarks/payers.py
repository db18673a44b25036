"""``python -m benchmarks.payers [MOST]``: what a hold and its settlement cost, from a hundred payers to a million.

The payers exist in Valkey only: a purse for each, full enough never to ask PostgreSQL. Counted is the processor's time
of the gateway's process and of Valkey, by the pairs; it must not grow to more than 1.2 times what a hundred cost.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import bank, machine, processes
from benchmarks.accounting import PROJECT, Asker, asker
from benchmarks.machine import Cores
from benchmarks.subjects import Bank, Stub

COUNTS = (100, 1_000, 10_000, 100_000, 1_000_000)
PASSES, PAIRS = 5, 10_000
MUST = 1.2


def main() -> int:
    """Measure, and print a table."""
    most = int(next((word for word in sys.argv[1:] if word.isdigit()), COUNTS[-1]))
    try:
        cores = machine.choose_cores(force="--force" in sys.argv)
    except machine.UnfitMachineError as unfit:
        print(unfit, file=sys.stderr)
        return 2
    machine.settle_on(cores)
    with tempfile.TemporaryDirectory(prefix="leaky-payers-") as name, ExitStack() as stack:
        stores = stack.enter_context(bank.running_bank(Path(name) / "bank", cores, Stub(9, 9), drained=False))
        show(measured(stores, cores, [count for count in COUNTS if count <= most]))
    return 0


def measured(stores: Bank, cores: Cores, counts: Sequence[int]) -> dict[int, tuple[float, float]]:
    """By the number of payers, µs per pair of the gateway's process and of Valkey: the least of the passes."""
    found: dict[int, tuple[float, float]] = {}
    there = 0
    for count in counts:
        with asker(stores, cores, "leases") as gateway:
            gateway.ask("pairs 1000")
            _give_purses(stores, gateway, there, count)
            there = count
            gateway.ask(f"payers {count} {PAIRS}")
            passes = [_pass(stores, gateway, count) for _ in range(PASSES)]
        found[count] = min(passes, key=sum)
    return found


def _pass(stores: Bank, gateway: Asker, count: int) -> tuple[float, float]:
    before = processes.use_of([stores.quota_process_id]).cpu_seconds
    run = gateway.ask(f"payers {count} {PAIRS}")
    used = processes.use_of([stores.quota_process_id]).cpu_seconds - before
    return run.cpu_us, used / PAIRS * 1e6


def _give_purses(stores: Bank, gateway: Asker, first: int, count: int) -> None:
    command = [sys.executable, "-m", "benchmarks.bare", "purses", gateway.about["account"], str(first), str(count)]
    subprocess.run(command, env=os.environ | stores.environment | {"PYTHONPATH": PROJECT}, check=True)


def show(found: Mapping[int, tuple[float, float]]) -> None:
    """Print the table and the verdict."""
    table = Table("payers", "gateway, µs/pair", "Valkey, µs/pair", "both", "by the first", title="Hold and settlement")
    first = sum(next(iter(found.values())))
    for count, (ours, store) in found.items():
        both = ours + store
        table.add_row(f"{count:,}", f"{ours:.1f}", f"{store:.1f}", f"{both:.1f}", f"{both / first:.2f}")
    console = Console(width=140)
    console.print(table)
    worst = max(sum(parts) / first for parts in found.values())
    console.print(f"at most {worst:.2f}, must be {MUST} or less: {'met' if worst <= MUST else 'NOT MET'}")


if __name__ == "__main__":
    sys.exit(main())
