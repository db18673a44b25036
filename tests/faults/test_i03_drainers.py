"""RELIABILITY.md I3: every balance is the sum of its transfers, with many drainers, and over crashes of PostgreSQL."""

import pytest
from django.db import connection
from django.db.utils import Error

from tests.faults.site.backends import on_both_in_the_long_run, on_leases
from tests.faults.site.checks import check
from tests.faults.site.load import Load
from tests.faults.site.site import Site
from tests.functional.payers import open_payer

AMOUNTS = {"quotas_transfer": "amount", "quotas_lease_part": "tokens"}
ATTEMPTS = ("UPDATE {0} SET {1} = {1} + 1", "DELETE FROM {0}", "TRUNCATE {0}")


@on_both_in_the_long_run
def test_the_ledger_adds_up_over_crashes_of_postgresql(site: Site) -> None:
    site.add_worker("second", "alone")
    payers = [open_payer(tokens=1_000_000) for _ in range(6)]

    with Load(site.urls(), payers) as load:
        for _ in range(2):
            load.runs_well()
            site.ledger.stop_at_once()
            site.ledger.process.start()
            connection.close()
        load.runs_well()

    check(site, load.calls)


@on_leases
@pytest.mark.parametrize("table", AMOUNTS)
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=["update", "delete", "truncate"])
def test_the_application_cannot_rewrite_the_ledger(site: Site, table: str, attempt: str) -> None:
    open_payer(tokens=1)
    with connection.cursor() as cursor, pytest.raises(Error, match=r"permission denied|append-only"):
        cursor.execute(attempt.format(table, AMOUNTS[table]))
