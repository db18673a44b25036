"""RELIABILITY.md I2, I4: what a dead gateway's spool has is taken over by those that live."""

from apps.quotas.models import Spool
from tests.faults.site.backends import on_leases
from tests.faults.site.checks import check
from tests.faults.site.load import Load
from tests.faults.site.site import Site
from tests.functional.payers import eventually, open_payer

ADOPTED_SECONDS = 45
"""Living gateways look for dead ones every 15 s; the ledger must have what they find."""


@on_leases
def test_gateways_that_reach_the_ledger_elsewhere_adopt_a_dead_ones_spool(site: Site) -> None:
    before = set(Spool.objects.values_list("id", flat=True))
    gone = site.add_gateway("gone")
    (spool,) = set(Spool.objects.values_list("id", flat=True)) - before
    with Load([gone.url], [open_payer(tokens=1_000_000) for _ in range(3)]) as load:
        load.runs_well()
        site.remove(gone)

    assert eventually(lambda: Spool.objects.get(id=spool).state == "CLOSED", seconds=ADOPTED_SECONDS)
    check(site, load.calls, killed=True)
