"""RELIABILITY.md I1: settled and under way never exceed what was granted, whatever happens to the quota store."""

import time
from collections.abc import Callable

import pytest

from tests.faults.site.backends import on_both, on_leases
from tests.faults.site.checks import check
from tests.faults.site.load import AWAY, Load
from tests.faults.site.site import Site
from tests.functional.payers import Payer, eventually, of_tier, open_payer

Fault = Callable[[Site, Load], None]
FROZEN_SECONDS = 7
"""Longer than it takes until the holds of a gateway that says nothing are swept."""


def some_poor_payers() -> list[Payer]:
    """Three whose tokens run out under the load, the one that most calls are for first, and two that have enough.

    The streams of the first and the last hold 64 tokens of output at a time.
    """
    hot, rich = of_tier(1500, hold_step=64), of_tier(1_000_000, hold_step=64)
    return [hot, *(open_payer(tokens=tokens) for tokens in (600, 600, 1_000_000)), rich]


def killed(site: Site, load: Load) -> None:
    site.quota.restart()


def flushed(site: Site, load: Load) -> None:
    site.quota.flush()


def out_of_power(site: Site, load: Load) -> None:
    written = site.quota.written()
    load.runs_well()
    assert site.quota.lose_power(back_to=written) > 0


def out_of_memory(site: Site, load: Load) -> None:
    site.quota.starve()
    load.until(lambda since: load.statuses(after=since)[AWAY])
    site.quota.feed()


def out_of_disk(site: Site, load: Load) -> None:
    site.quota.fill_disk()
    assert eventually(lambda: not site.quota.process.runs())
    site.quota.process.start()


def cut(site: Site, load: Load) -> None:
    for way in site.quota_ways():
        way.cut()


def cut_in_an_answer(site: Site, load: Load) -> None:
    for way in site.quota_ways():
        way.cut_after(1000)


def half_open(site: Site, load: Load) -> None:
    for way in site.quota_ways():
        way.half_open()
    load.until(lambda since: load.statuses(after=since)[AWAY])
    for way in site.quota_ways():
        way.heal()


def frozen(site: Site, load: Load) -> None:
    site.quota.process.freeze()
    load.until(lambda since: load.statuses(after=since)[AWAY])
    site.quota.process.thaw()


def failed_over(site: Site, load: Load) -> None:
    other = site.quota.replica(site.root / "promoted")
    load.runs_well()
    other.promote()
    site.fail_over(other)


def split_brain(site: Site, load: Load) -> None:
    """A replica that lags behind is promoted; one gateway goes on with the old primary."""
    other = site.replica()
    other.promote()
    load.runs_well()
    site.divide(other, staying=site.gateways[0])
    load.runs_well(40)
    site.fail_over(other)


QUOTA_FAULTS = [
    killed, flushed, out_of_power, out_of_memory, out_of_disk, cut, cut_in_an_answer, half_open, frozen, failed_over,
    split_brain,
]  # fmt: skip


@on_leases
@pytest.mark.parametrize("fault", QUOTA_FAULTS)
def test_nothing_is_oversold_whatever_the_quota_store_does(site: Site, fault: Fault) -> None:
    with Load(site.urls(), some_poor_payers()) as load:
        load.runs_well()
        fault(site, load)
        load.runs_well()
        load.runs_out()

    check(site, load.calls)


@on_leases
def test_nothing_is_oversold_when_a_gateway_freezes_and_goes_on(site: Site) -> None:
    """Row locks do not promise this: they sell again what a frozen gateway held, and the house bears the rest."""
    with Load(site.urls(), some_poor_payers()) as load:
        load.runs_well()
        site.gateways[0].freeze()
        time.sleep(FROZEN_SECONDS)
        site.gateways[0].thaw()
        load.runs_well()
        load.runs_out()

    check(site, load.calls)


@on_both
def test_nothing_is_oversold_when_a_gateway_dies(site: Site) -> None:
    with Load(site.urls(), some_poor_payers()) as load:
        load.runs_well()
        site.gateways[0].kill()
        site.gateways[0].start()
        load.runs_well()
        load.runs_out()

    check(site, load.calls, killed=True)
