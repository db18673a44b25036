"""What is told of a run: a seed that breaks a promise says which, what came before, and how to see it again."""

from itertools import chain

import pytest

from apps.limiter.twin_purse import TwinPurse
from simulator.report import Outcome, Total, failure_lines, lines_of
from simulator.run import run_seed

SEEDS = range(61, 200)


def test_seeds_find_a_rule_that_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two primaries that spend one purse: chance finds what the schedule of the ablation does on purpose."""
    strict = TwinPurse.may_be_spent
    monkeypatch.setattr(
        TwinPurse, "may_be_spent", lambda purse, _run, gen, number, now: strict(purse, purse.run, gen, number, now)
    )
    failed = next(outcome for outcome in map(run_seed, SEEDS) if outcome.failure)
    lines = failure_lines(failed)
    assert lines[0].startswith(f"seed {failed.seed}: ")
    assert len(lines) > 2
    assert lines[-1].endswith(f"python -m simulator --seed {failed.seed} --trace")


def test_report_counts_every_kind_of_fault() -> None:
    total = Total()
    for seed, failure in ((1, ""), (2, "sold twice")):
        outcome = Outcome(seed, failure=failure)
        outcome.counts.update(admitted=3, calls=5)
        outcome.faults["FLUSHALL"] += 2
        total.add(outcome)
    words = set(chain.from_iterable(line.split() for line in lines_of(total, seconds=1.0)))
    assert {"FLUSHALL", "4", "6", "10"} <= words
    assert [outcome.seed for outcome in total.failures] == [2]
