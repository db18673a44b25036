"""What becomes of calls that show no sign of life. Schedules, and doubles without the rule; see ``test_ablations``."""

from dataclasses import replace
from typing import Any

import pytest

from apps.limiter import twin_leases
from apps.limiter.twin_store import Store
from apps.quotas import booking
from apps.quotas.domain import Status
from simulator import workers
from simulator.figures import FIGURES
from simulator.lab import Lab

Patch = pytest.MonkeyPatch
HOUR_MS = 3_600_000


def gateway_freezes_and_its_call_runs_on(lab: Lab) -> None:
    live = lab.call(0, 1_000)
    assert live
    lab.beat(live, 100)
    lab.sweep(FIGURES.missed_passes + 1)
    lab.call(1, 900)


def no_quarantine(patch: Patch) -> None:
    strict = twin_leases._sweep_hold

    def weak(*args: Any, quarantines: bool) -> None:
        strict(*args, quarantines=False)

    patch.setattr(twin_leases, "_sweep_hold", weak)


def clock_of_valkey_jumps(lab: Lab) -> None:
    live = lab.call(0, 1_000)
    assert live
    lab.beat(live, 100)
    for _ in range(2):
        lab.primary.offset_ms += HOUR_MS
        lab.do(workers.sweep(lab.simulation.workers[2]))
    lab.keep_up(FIGURES.lease_ms - FIGURES.renew_ms + 10_000)
    lab.call(1, 900)


def death_by_seconds(patch: Patch) -> None:
    def number_of(store: Store, mark: str, pass_ms: int, now: int) -> int:
        store.hset_all(mark, [("pass", now // pass_ms), ("passed", now)])
        return now // pass_ms

    patch.setattr(twin_leases, "_begin_pass", number_of)


def swept_call_tells_what_it_came_to(lab: Lab) -> None:
    live = lab.call(0, 1_000)
    assert live
    lab.beat(live, 100)
    lab.sweep(FIGURES.missed_passes + 1)
    lab.drain()
    lab.end(live, used=1_000)
    lab.rest()


def sweep_has_the_last_word(patch: Patch) -> None:
    strict = booking.book

    def weak(entry: Any, lease: Any, hold: Any, **rest: Any) -> Any:
        final = replace(hold, status=Status.SETTLED) if hold and hold.status is Status.EXPIRED else hold
        return strict(entry, lease, final, **rest)

    patch.setattr(booking, "book", weak)
