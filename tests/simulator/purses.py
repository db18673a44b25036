"""Whose purse may be spent. Schedules, and doubles without the rule; see ``test_ablations``."""

from collections.abc import Callable

import pytest

from apps.limiter.twin_purse import TwinPurse
from simulator.lab import Lab

Patch = pytest.MonkeyPatch
HOUR_MS = 3_600_000
FAR_MS = 10 * HOUR_MS


def two_primaries_spend_one_purse(lab: Lab) -> None:
    lab.fill_purse()
    lab.simulation.valkeys.replicate()
    lab.simulation.valkeys.fail_over(["gateway0"], fenced_after_ms=FAR_MS)
    lab.call(0, 1_000)
    lab.call(1, 1_000)


def no_run_id_check(patch: Patch) -> None:
    _weaken_purse(patch, lambda purse, _run, gen, number, now: (purse.run, gen, number, now))


def restored_ledger_sells_again(lab: Lab) -> None:
    backup = lab.simulation.postgres.backup()
    lab.fill_purse()
    lab.simulation.ledger.restore(backup)
    for gateway in lab.simulation.gateways:
        gateway.generation = 2
    lab.call(0, 1_000)
    lab.call(1, 1_000)


def no_generation_check(patch: Patch) -> None:
    _weaken_purse(patch, lambda purse, run, _gen, number, now: (run, purse.gen, number, now))


def fenced_primary_outlives_its_lease(lab: Lab) -> None:
    lab.fill_purse()
    lab.simulation.valkeys.fail_over(["gateway0"], fenced_after_ms=FAR_MS)
    lab.until_closed()
    assert lab.call(1, 1_000), "the closed lease's tokens are there again"
    lab.call(0, 1_000)


def no_lease_expiry(patch: Patch) -> None:
    _weaken_purse(patch, lambda purse, run, gen, number, _now: (run, gen, number, purse.since))


def fenced_primary_turns_its_clock_back(lab: Lab) -> None:
    lab.fill_purse()
    lab.simulation.valkeys.fail_over(["gateway0"], fenced_after_ms=FAR_MS)
    lab.simulation.valkeys.server_of("gateway0").offset_ms -= HOUR_MS
    lab.until_closed()
    assert lab.call(1, 1_000), "the closed lease's tokens are there again"
    lab.call(0, 1_000)


def no_set_back_check(patch: Patch) -> None:
    _weaken_purse(patch, lambda purse, run, gen, number, now: (run, gen, number, max(now, purse.since)))


def _weaken_purse(patch: Patch, believe: Callable[[TwinPurse, str, str, int, int], tuple[str, str, int, int]]) -> None:
    """A purse that is told what it would like to hear: run, generation, pass and time."""
    strict = TwinPurse.may_be_spent

    def weak(purse: TwinPurse, run: str, gen: str, number: int, now: int) -> bool:
        return strict(purse, *believe(purse, run, gen, number, now))

    patch.setattr(TwinPurse, "may_be_spent", weak)
