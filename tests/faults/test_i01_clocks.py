"""RELIABILITY.md I1 with clocks that are wrong: an hour early, an hour late, of any one part."""

import pytest

from tests.faults.site.backends import on_both_in_the_long_run, on_leases
from tests.faults.site.checks import check
from tests.faults.site.clock import HOUR
from tests.faults.site.load import Load
from tests.faults.site.site import Site
from tests.faults.test_i01_never_oversold import some_poor_payers

either_way = pytest.mark.parametrize("offset", [HOUR, -HOUR], ids=["early", "late"])


@on_both_in_the_long_run
@either_way
def test_a_gateway_with_a_wrong_clock(site: Site, offset: int) -> None:
    site.add_gateway("wrong", clock=site.clock(offset))

    with Load(site.urls(), some_poor_payers()) as load:
        load.runs_well(60)
        load.runs_out()

    check(site, load.calls)


@on_leases
@either_way
def test_the_quota_stores_clock_jumps(site: Site, offset: int) -> None:
    clock = site.clock_of_quota()

    with Load(site.urls(), some_poor_payers()) as load:
        load.runs_well()
        clock.jump_to(offset)
        load.runs_well(40)
        clock.jump_to(0)
        load.runs_well(40)
        load.runs_out()

    check(site, load.calls)


@on_both_in_the_long_run
@either_way
def test_the_ledgers_clock_jumps(site: Site, offset: int) -> None:
    clock = site.clock_of_ledger()

    with Load(site.urls(), some_poor_payers()) as load:
        load.runs_well()
        clock.jump_to(offset)
        load.runs_well(40)
        clock.jump_to(0)
        load.runs_well(40)
        load.runs_out()

    check(site, load.calls)
