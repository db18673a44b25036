"""``python -m benchmarks``: nginx and the gateway, measured in one interleaved run on pinned cores."""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from benchmarks import bank, interleave, machine, report
from benchmarks.contenders import DEFAULT, SUBJECTS
from benchmarks.machine import Cores, UnfitMachineError
from benchmarks.processes import UnfitSubjectError
from benchmarks.subjects import Bank, Stub
from benchmarks.turns import Plan


def main() -> int:
    """Measure, print, and keep the result. 0: every answer was right; 1: some were not; 2: no result."""
    options = parse_options()
    try:
        result = measure(options.subjects, plan_of(options), machine.choose_cores(force=options.force))
    except (UnfitMachineError, UnfitSubjectError) as unfit:
        print(unfit, file=sys.stderr)
        return 2
    report.show(result)
    name = f"{result.taken_at:%Y-%m-%d-%H%M}" + ("-quick" if options.quick else "")
    print(f"kept in {report.write_json(result, name)}")
    if options.write_docs:
        report.write_documentation(result)
    return 1 if result.failures else 0


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="length of each measurement (default 5)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every subject (default 5)")
    parser.add_argument("--rate", type=float, default=2000, help="requests/s of the latency measurement (default 2000)")
    parser.add_argument("--streams", type=int, default=500, help="streams open at once (default 500)")
    parser.add_argument(
        "--subjects", type=_subjects, default=DEFAULT, help=f"of {', '.join(SUBJECTS)}; comma-separated"
    )
    parser.add_argument("--quick", action="store_true", help="two short rounds: whether it runs, not what it costs")
    parser.add_argument("--force", action="store_true", help="measure although other work runs on the machine")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/benchmarks.md")
    return parser.parse_args()


def plan_of(options: argparse.Namespace) -> Plan:
    """How long and how much, from the command line."""
    if options.quick:
        return Plan(seconds=1, rounds=2, rate=options.rate, streams=min(100, options.streams), stream_repeats=1)
    return Plan(options.seconds, options.rounds, options.rate, options.streams, stream_repeats=3)


def measure(subjects: tuple[str, ...], plan: Plan, cores: Cores) -> report.Result:
    """Start the stub, play all rounds, stop everything."""
    machine.settle_on(cores)
    taken_at, description = datetime.now(UTC), machine.describe(cores)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leaky-bench-")))
        stub = stack.enter_context(interleave.running_stub(directory, cores))
        run = interleave.Interleaved(directory, cores, plan, stub, _bank_once(stack, directory, cores, stub))
        samples = run.play({name: SUBJECTS[name] for name in subjects}, print)
    return report.Result(taken_at, description, plan, samples, run.about)


def _bank_once(stack: ExitStack, directory: Path, cores: Cores, stub: Stub) -> "interleave.BankOpener":
    @cache
    def opened() -> Bank:
        return stack.enter_context(bank.running_bank(directory / "bank", cores, stub))

    return opened


def _subjects(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(SUBJECTS):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return names


if __name__ == "__main__":
    sys.exit(main())
