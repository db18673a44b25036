"""What many seeds came to: one table, and how to repeat what failed."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Outcome:
    """What one seed came to: counts of calls and tokens, of faults, and the promise that was broken, if one was."""

    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    failure: str = ""
    events: tuple[str, ...] = ()


@dataclass(slots=True)
class Total:
    """The sum of outcomes, and the first failures in full."""

    seeds: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count one more seed."""
        self.seeds += 1
        self.counts.update(outcome.counts)
        self.faults.update(outcome.faults)
        if outcome.failure:
            self.failures.append(outcome)


COUNTED = (
    "calls",
    "admitted",
    "refused",
    "unavailable",
    "completed",
    "cut",
    "grown",
    "swept",
    "corrected",
    "leases",
    "top-ups",
    "recalls",
    "refunds",
    "leases closed",
    "entries booked",
    "booked late",
    "steps",
)
"""Rows that every report has, also when nothing of the kind happened."""


def lines_of(total: Total, seconds: float) -> list[str]:
    """The report as lines of text."""
    counts = total.counts
    rows = [("seeds", f"{total.seeds:,}"), *((name, f"{counts[name]:,}") for name in COUNTED)]
    faults = [(f"  {name}", f"{count:,}") for name, count in sorted(total.faults.items())]
    truth = counts["tokens generated"]
    losses = [
        ("tokens generated", f"{truth:,}"),
        ("uncharged", _share(counts["uncharged"], truth)),
        ("  known: written off, restored, absorbed", _share(counts["known loss"], truth)),
        ("  known: since a dead gateway's last heartbeat", _share(counts["since heartbeat"], truth)),
        ("overcharged", _share(counts["overcharged"], truth)),
        ("uncharged for no known reason", _share(counts["unexplained"], truth)),
        ("calls lost without a trace", f"{counts['lost']:,}"),
        ("seeds that oversold or failed otherwise", f"{len(total.failures):,}"),
    ]
    table = [f"{name:<48}{value:>24}" for name, value in (*rows, *losses, ("faults injected", ""), *faults)]
    return [*table, f"{seconds:.0f} s, {1000 * seconds / max(total.seeds, 1):.0f} ms a seed"]


def failure_lines(outcome: Outcome) -> list[str]:
    """What was violated, what came before, and how to see it again."""
    return [
        f"seed {outcome.seed}: {outcome.failure}",
        *(f"    {event}" for event in outcome.events),
        f"    again: python -m simulator --seed {outcome.seed} --trace",
    ]


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({100 * part / whole:.4f} %)" if whole else f"{part:,}"
