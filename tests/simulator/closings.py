"""When a lease in doubt may be closed. Schedules, and doubles without the rule; see ``test_ablations``."""

from typing import Any

import pytest

from apps.limiter import api as limiter
from apps.quotas import leases
from simulator import spooling
from simulator.figures import FIGURES
from simulator.lab import Lab
from simulator.ledger import Ledger

Patch = pytest.MonkeyPatch
HOUR_MS = 3_600_000


def call_runs_when_its_lease_expires(lab: Lab) -> None:
    assert lab.call(0, 1_000)
    lab.simulation.valkeys.flush()
    lab.keep_up(FIGURES.lease_ms + 20_000)
    lab.call(1, 1_000)


def closing_without_grace(patch: Patch) -> None:
    strict = leases.may_close

    def weak(*args: Any, grace_ms: int, **rest: Any) -> bool:
        return strict(*args, grace_ms=0, **rest)

    patch.setattr(leases, "may_close", weak)


def only_the_journal_knows(lab: Lab) -> None:
    """A gateway dies and its disk with it; what its call had come to is in the journal, which nobody drains."""
    live = lab.call(0, 1_000)
    assert live
    lab.beat(live, 900)
    lab.lose_disk(0)
    lab.sweep(FIGURES.missed_passes + 1)
    lab.simulation.valkeys.primary.twin.store.delete(limiter.purse_key(lab.account.id))
    lab.until_closed(reporting=(1,), draining=False)
    lab.call(1, 1_000)


def closing_without_drain(patch: Patch) -> None:
    patch.setattr(leases, "_is_drained", lambda _lease, _mark: True)


def only_a_spool_knows(lab: Lab) -> None:
    """A call has ended, Valkey forgets it, and the gateway that knows is frozen."""
    live = lab.call(0, 1_000)
    assert live
    lab.end(live, used=1_000)
    lab.simulation.valkeys.flush()
    lab.until_closed(reporting=(1,))
    lab.call(1, 1_000)


def closing_without_spools(patch: Patch) -> None:
    strict = leases.may_close

    def weak(lease: Any, mark: Any, _spools: Any, **rest: Any) -> bool:
        return strict(lease, mark, (), **rest)

    patch.setattr(leases, "may_close", weak)


def report_arrives_late(lab: Lab) -> None:
    """A gateway counts that it waits for nothing and freezes with calls under way; its report comes after them."""
    live = lab.call(0, 1_000)
    assert live
    report = spooling.report(lab.gateway(0))
    lab.wait(next(report))
    lab.simulation.valkeys.flush()
    lab.until_closed(reporting=(1,))
    lab.simulation.provider.stop(live.call)
    lab.do(report)
    lab.keep_up(reporting=(1,))
    lab.call(1, 1_000)


def report_counts_as_of_its_arrival(patch: Patch) -> None:
    strict = Ledger.report_spool
    patch.setattr(Ledger, "report_spool", lambda ledger, spool, age, _as_of: strict(ledger, spool, age, None))


def clock_of_postgres_jumps(lab: Lab) -> None:
    assert lab.call(0, 1_000)
    lab.simulation.valkeys.flush()
    lab.keep_up()
    lab.simulation.postgres.offset_ms += HOUR_MS
    lab.keep_up(20_000)
    lab.call(1, 1_000)


def closing_by_the_wall_clock(patch: Patch) -> None:
    def tick(ledger: Ledger, _elapsed_ms: int) -> int:
        ledger.tables.tick = ledger.postgres.clock()
        return ledger.tables.tick

    patch.setattr(Ledger, "tick", tick)
