"""The result of a run as tables, as JSON, and as a chapter of the documentation."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks import goals, interleave
from benchmarks.contenders import BASELINE
from benchmarks.interleave import Samples, Spread
from benchmarks.turns import Plan

RESULTS = Path(__file__).with_name("results")
DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks.md"
RESULT_MARKS = re.compile(r"(<!-- latest: begin -->\n).*(<!-- latest: end -->)", re.DOTALL)

COLUMNS = (
    ("requests_per_second", "requests/s", ",.0f"),
    ("cpu_us_per_request", "CPU µs/request", ".1f"),
    ("stores_cpu_us_per_request", "of the stores", ".1f"),
    ("core_share", "core used", ".0%"),
    ("foreign_share", "by others", ".0%"),
    ("rate", "fixed rate /s", ",.0f"),
    ("added_p50_ms", "added p50 ms", ".2f"),
    ("added_p99_ms", "added p99 ms", ".2f"),
    ("direct_p99_ms", "direct p99 ms", ".2f"),
    ("cpu_us_per_chunk", "SSE CPU µs/chunk", ".1f"),
    ("stream_stretch", "SSE stretch", ".2f"),
    ("rss_kb_per_stream", "KB/open stream", ".1f"),
    ("failures", "failures", ".0f"),
)

CAUTION = (
    "Median [lowest … highest] over the rounds. Differences under 1.5x are not established on a shared machine. "
    "Saturated figures of a subject that used much less than its core (core used) are limits of what is on the other "
    "core: its stores, the stub, the load."
)


@dataclass(frozen=True, slots=True)
class Result:
    """Everything about one run."""

    taken_at: datetime
    machine: Mapping[str, object]
    plan: Plan
    samples: Samples
    about: Mapping[str, str]

    @property
    def failures(self) -> int:
        """Requests and streams, over all subjects and rounds, that did not get the stub's answer."""
        return sum(sample.failures for samples in self.samples.values() for sample in samples)


def figures_table(result: Result) -> list[list[str]]:
    """A heading row, then a row per figure with a cell per subject."""
    spreads = {name: interleave.spreads(samples) for name, samples in result.samples.items()}
    rows = [["", *spreads]]
    if BASELINE in spreads:
        ratio = {name: interleave.ratios(result.samples, name, BASELINE) for name in spreads}
        rows.append([f"requests/s by {BASELINE}'s", *(_cell(ratio[name], ".3f") for name in spreads)])
    rows += [[title, *(_cell(spreads[name][key], form) for name in spreads)] for key, title, form in COLUMNS]
    return rows


def goals_table(result: Result, subject: str) -> list[list[str]]:
    """A heading row, then a row per goal."""
    ratio = interleave.ratios(result.samples, subject, BASELINE)
    return [["goal", "found", "verdict"], *goals.verdicts(interleave.spreads(result.samples[subject]), ratio)]


def judged(result: Result) -> list[str]:
    """The subjects that the goals are about: ours, when the baseline ran beside them."""
    return [name for name in result.samples if name.startswith("gateway") and BASELINE in result.samples]


def show(result: Result) -> None:
    """Print the tables."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(_rich("One interleaved run", figures_table(result)))
    for subject in judged(result):
        console.print(_rich(f"Goals, {subject}: {result.about[subject]}", goals_table(result, subject)))
    console.print(CAUTION, markup=False)


def write_json(result: Result, name: str) -> Path:
    """Keep all samples of the run beside its settings and machine."""
    document = {
        "taken_at": result.taken_at.isoformat(),
        "machine": result.machine,
        "plan": asdict(result.plan),
        "method": "docs/benchmarks.md",
        "subjects": dict(result.about),
        "medians": {
            subject: {key: asdict(spread) for key, spread in interleave.spreads(samples).items()}
            for subject, samples in result.samples.items()
        },
        "rounds": {subject: [asdict(sample) for sample in samples] for subject, samples in result.samples.items()},
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    return path


def write_documentation(result: Result) -> None:
    """Put the run into the documentation, in the place of the one before."""
    text = DOCUMENT.read_text()
    chapter = _chapter(result)
    DOCUMENT.write_text(RESULT_MARKS.sub(lambda match: f"{match[1]}\n{chapter}\n{match[2]}", text))


def _chapter(result: Result) -> str:
    parts = [
        _circumstances(result),
        _markdown(figures_table(result)),
        CAUTION,
    ]
    for subject in judged(result):
        parts += [
            f"**{subject}** ({result.about[subject]}) against the goals:",
            _markdown(goals_table(result, subject)),
        ]
    return "\n\n".join(parts) + "\n"


def _circumstances(result: Result) -> str:
    plan, machine = result.plan, result.machine
    packages = ", ".join(f"{name} {machine[name]}" for name in ("uvicorn", "uvloop", "httptools"))
    return (
        f"Taken {result.taken_at:%Y-%m-%d %H:%M} UTC: {plan.rounds} rounds, {plan.seconds:g} s for each measurement, "
        f"{plan.streams} streams. {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, "
        f"CPython {machine['python']}, {machine['nginx']}, {packages}."
    )


def _cell(spread: Spread, form: str) -> str:
    median, low, high = (format(value, form) for value in (spread.median, spread.low, spread.high))
    return median if low == high else f"{median} [{low} … {high}]"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    heading, *body = rows
    lines = [heading, ["---"] * len(heading), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _rich(title: str, rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title)
    heading, *body = rows
    for column in heading:
        table.add_column(column, justify="left" if not column else "right")
    for row in body:
        table.add_row(*(Text(cell) for cell in row))  # as Text: a bracket is a bracket
    return table
