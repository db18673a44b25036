"""The faults of RELIABILITY.md I1 to I4 under all of its load: four gateways, 200 accounts of which one has 30 % of the
calls, 100 calls a second and 50 streams of 20 chunks a second. What CI runs is under a quarter of that.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import connection

from tests.faults.site.backends import on_leases
from tests.faults.site.checks import check, uncharged_share
from tests.faults.site.load import Load
from tests.faults.site.site import Site
from tests.faults.test_i01_never_oversold import FROZEN_SECONDS, QUOTA_FAULTS
from tests.functional.payers import of_tier, open_payer

GATEWAYS, PAYERS, RATE, STREAMS = 4, 200, 100, 50
HOT_TOKENS, TOKENS = 15_000, 100_000
"""The hot payer's tokens run out within half a minute."""

UNCHARGED = 0.001
SETTLED_CALLS = 500
"""Calls that are served before a fault and after it: five seconds of the load."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@contextmanager
def full_load(site: Site) -> Iterator[Load]:
    """All of it, from before a fault until the hot payer's tokens have run out."""
    for number in range(len(site.gateways) + 1, GATEWAYS + 1):
        site.add_gateway(f"gateway-{number}")
    payers = [of_tier(HOT_TOKENS, hold_step=64), *(open_payer(tokens=TOKENS) for _ in range(PAYERS - 1))]
    with Load(site.urls(), payers, rate=RATE, streams=STREAMS) as load:
        load.runs_well(SETTLED_CALLS)
        yield load
        load.runs_well(SETTLED_CALLS)
        load.runs_out()


def ledger_crashed(site: Site, load: Load) -> None:
    site.ledger.stop_at_once()
    site.ledger.process.start()
    connection.close()


def drainer_killed(site: Site, load: Load) -> None:
    """Another goes on beside its successor."""
    site.add_worker("second", "alone")
    site.workers[0].kill()
    load.runs_well(SETTLED_CALLS)
    site.workers[0].start()


def gateway_frozen(site: Site, load: Load) -> None:
    site.gateways[0].freeze()
    time.sleep(FROZEN_SECONDS)
    site.gateways[0].thaw()


@on_leases
@pytest.mark.parametrize("fault", [*QUOTA_FAULTS, ledger_crashed, drainer_killed, gateway_frozen])
def test_nothing_is_oversold_or_lost(site: Site, fault: Callable[[Site, Load], None]) -> None:
    with full_load(site) as load:
        fault(site, load)

    check(site, load.calls)
    assert uncharged_share(site, load.calls) <= UNCHARGED


@on_leases
def test_a_gateway_is_killed(site: Site) -> None:
    """Its streams pay what its last heartbeats said: the share of that in all is of how often gateways die."""
    with full_load(site) as load:
        site.gateways[0].kill()
        site.gateways[0].start()

    check(site, load.calls, killed=True)
