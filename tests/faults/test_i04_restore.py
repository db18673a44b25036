"""The drill of the runbook: PostgreSQL is restored to an older state, Valkey and the spools know more than it does."""

import time
from http import HTTPStatus

from django.core.management import call_command
from django.db import connection

from apps.quotas import api as quotas
from apps.quotas.models import Lease
from tests.faults.site.asking import calling
from tests.faults.site.backends import on_leases
from tests.faults.site.checks import check
from tests.faults.site.load import Load
from tests.faults.site.site import Site
from tests.functional.payers import Payer, eventually, open_payer

SERVED_SECONDS = 5
TOKENS = 100_000


def restore(site: Site, payers: list[Payer]) -> None:
    """As docs/operations.md has it: traffic off, the backup back, a new generation, traffic on."""
    backup = site.ledger.back_up()
    with Load(site.urls(), payers) as load:
        load.runs_well(60)
    programs = (*site.gateways, *site.workers)
    for program in programs:
        program.stop()
    connection.close()
    site.ledger.restore(backup)
    call_command("ledger_generation", "--bump", "--reason", "restored from a backup")
    for program in programs:
        program.begin()
    for program in programs:
        program.await_ready()


@on_leases
def test_a_restored_ledger_sells_nothing_that_valkey_still_has(site: Site) -> None:
    payers = [open_payer(tokens=TOKENS) for _ in range(4)]
    with Load(site.urls(), payers) as load:
        load.runs_well()
    check(site, load.calls)
    before = quotas.ledger_generation()
    epochs = {payer: latest(payer) for payer in payers}

    restore(site, payers)

    began = time.monotonic()
    assert quotas.ledger_generation() == before + 1
    with calling(site.gateways[0].url, payers[0]) as caller:
        assert eventually(caller.serves, seconds=SERVED_SECONDS)
        assert time.monotonic() - began <= SERVED_SECONDS
        assert latest(payers[0]) > epochs[payers[0]], "the purse of before the restore is void"
    with Load(site.urls(), payers) as after:
        after.runs_well()
    check(site, after.calls)
    for payer in payers:
        account = payer.balance()
        assert account.granted == TOKENS == account.available + account.leased + account.held + account.spent
    drain_it(site, payers[0])


def latest(payer: Payer) -> int:
    """The epoch of an account's latest lease."""
    return max(Lease.objects.filter(account_id=payer.account).values_list("epoch", flat=True), default=0)


def drain_it(site: Site, payer: Payer) -> None:
    """Spend what the account has: what purses of the old generation still hold is nobody's to spend."""
    with calling(site.gateways[0].url, payer) as caller:
        while (answer := caller.ask(tokens=2_000, cap=2_000)).status == HTTPStatus.OK:
            pass
    assert answer.code in {"insufficient_quota", "quota_unavailable", "rate_limit_exceeded"}
    assert payer.balance().spent <= TOKENS
