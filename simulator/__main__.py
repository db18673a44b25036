"""``python -m simulator``: many seeds on all cores with a report, or one seed again."""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from os import cpu_count

from simulator import report
from simulator.report import Outcome, Total
from simulator.run import run_seed

CHUNK = 20
SHOWN_FAILURES = 5
BAR = 40


def main() -> int:
    """Run, print, and say by the exit code whether every promise was kept."""
    options = parse_options()
    if options.seed is not None:
        return again(options.seed, trace=options.trace)
    started, total = time.monotonic(), Total()
    for outcome in outcomes(range(options.first, options.first + options.seeds), options.processes):
        total.add(outcome)
        progress(total, options.seeds, time.monotonic() - started)
    print("\n".join(["", *report.lines_of(total, time.monotonic() - started)]))
    for failed in total.failures[:SHOWN_FAILURES]:
        print("\n".join(["", *report.failure_lines(failed)]))
    return 1 if total.failures else 0


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many (default 500)")
    parser.add_argument("--first", type=int, default=1, help="the first seed (default 1)")
    parser.add_argument("--processes", type=int, default=cpu_count() or 1, help="default: one a core")
    parser.add_argument("--seed", type=int, help="run this one alone")
    parser.add_argument("--trace", action="store_true", help="with --seed: print every event")
    return parser.parse_args()


def outcomes(seeds: Iterable[int], processes: int) -> Iterator[Outcome]:
    """Each seed's outcome, in the order of the seeds."""
    if processes == 1:
        yield from map(run_seed, seeds)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(run_seed, seeds, chunksize=CHUNK)


def again(seed: int, *, trace: bool) -> int:
    """One seed, with all its events when traced."""
    started = time.monotonic()
    outcome = run_seed(seed, tell=print if trace else None)
    total = Total()
    total.add(outcome)
    print("\n".join(report.lines_of(total, time.monotonic() - started)))
    if outcome.failure:
        print("\n".join(report.failure_lines(outcome)))
    return 1 if outcome.failure else 0


def progress(total: Total, seeds: int, seconds: float) -> None:
    """A bar on standard error, drawn anew when a chunk is done."""
    if total.seeds % CHUNK and total.seeds != seeds:
        return
    done = BAR * total.seeds // seeds
    rate = total.seeds / max(seconds, 0.001)
    line = f"\r[{'#' * done}{'.' * (BAR - done)}] {total.seeds}/{seeds}, {rate:.1f}/s, failed {len(total.failures)}"
    print(line, end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
