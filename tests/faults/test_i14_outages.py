"""RELIABILITY.md I14: a store that is away refuses quickly and costs nothing; leases serve on without PostgreSQL."""

import time
from collections.abc import Callable
from statistics import median, quantiles

import pytest

from tests.faults.site.asking import Answer, Caller, calling
from tests.faults.site.backends import on_long_leases, on_patient_long_leases
from tests.faults.site.checks import check
from tests.faults.site.process import Process
from tests.faults.site.roads import Road
from tests.faults.site.site import Site
from tests.functional.payers import Oracle, eventually, open_payer

SHORT_SECONDS, LONG_SECONDS = 5, 60
PAUSE_SECONDS = 0.02
STEADY_SECONDS, PROMISED_SECONDS = 240, 300
"""How long a use must have gone on evenly before its lease is as large as it will be; and for how long that must do."""
REFUSED_SECONDS, BREAKER_SECONDS = 0.150, 0.005
RECOVERED_SECONDS = 5
LEDGER_SECONDS = 2.5
"""GATEWAY_DATABASE_SECONDS of the site, and a moment."""

MANY = 16_000
"""A cap that makes a lease large enough for a minute without PostgreSQL: four of it."""

Outage = Callable[[Process, list[Road]], None]


def stopped(store: Process, ways: list[Road]) -> None:
    store.stop()


def frozen(store: Process, ways: list[Road]) -> None:
    store.freeze()


def blackholed(store: Process, ways: list[Road]) -> None:
    for way in ways:
        way.blackhole()


each_outage = pytest.mark.parametrize("outage", [stopped, frozen, blackholed])
long = [pytest.mark.long, pytest.mark.timeout(300)]
for_a_while = pytest.mark.parametrize("seconds", [SHORT_SECONDS, pytest.param(LONG_SECONDS, marks=long)])


def asked_for(caller: Caller, seconds: float) -> list[Answer]:
    """Answers to calls made one after the other, with a pause between them, for so long."""
    ends, answers = time.monotonic() + seconds, []
    while time.monotonic() < ends:
        answers.append(caller.ask())
        time.sleep(PAUSE_SECONDS)
    return answers


def assert_refused(answer: Answer) -> None:
    assert (answer.status, answer.code) == (503, "quota_unavailable")
    assert answer.headers["x-should-retry"] == "true"
    assert int(answer.headers["retry-after"]) >= 1


def serves_for_a_second(caller: Caller) -> bool:
    return all(answer.status == 200 for answer in asked_for(caller, 1))


def assert_recovers(site: Site, caller: Caller) -> None:
    site.heal()
    back = time.monotonic()
    assert eventually(lambda: serves_for_a_second(caller), seconds=RECOVERED_SECONDS + 1)
    assert time.monotonic() - back <= RECOVERED_SECONDS + 1
    check(site, [])


@on_long_leases
@each_outage
@for_a_while
def test_without_valkey_calls_are_refused_at_once(site: Site, outage: Outage, seconds: float) -> None:
    oracle = Oracle(site.stub.url)
    with calling(site.gateways[0].url, open_payer(tokens=1_000_000)) as caller:
        assert caller.serves()
        before = oracle.calls()

        outage(site.quota.process, site.quota_ways())
        answers = asked_for(caller, seconds)

        for answer in answers:
            assert_refused(answer)
        times = [answer.seconds for answer in answers]
        assert quantiles(times, n=100)[-1] <= REFUSED_SECONDS
        assert median(times) <= BREAKER_SECONDS
        assert oracle.calls() == before
        assert_recovers(site, caller)


@on_patient_long_leases
@each_outage
@for_a_while
def test_without_postgresql_leased_accounts_are_served(site: Site, outage: Outage, seconds: float) -> None:
    with calling(site.gateways[0].url, open_payer(tokens=10_000_000)) as caller:
        assert caller.ask(cap=MANY).status == 200
        # The news of a new key makes gateways look it up again, which nobody could while PostgreSQL is away.
        assert serves_for_a_second(caller)

        outage(site.ledger.process, site.ledger_ways())
        answers = asked_for(caller, seconds)

        assert {answer.status for answer in answers} == {200}
        assert_recovers(site, caller)


@on_patient_long_leases
@pytest.mark.long
@pytest.mark.timeout(900)
def test_without_postgresql_an_even_use_goes_on_for_five_minutes(site: Site) -> None:
    with calling(site.gateways[0].url, open_payer(tokens=100_000_000)) as caller:
        asked_for(caller, STEADY_SECONDS)

        stopped(site.ledger.process, site.ledger_ways())
        answers = asked_for(caller, PROMISED_SECONDS)

        assert {answer.status for answer in answers} == {200}
        assert_recovers(site, caller)


@on_long_leases
@each_outage
def test_without_postgresql_an_account_without_a_lease_is_refused(site: Site, outage: Outage) -> None:
    with calling(site.gateways[0].url, open_payer(tokens=1_000_000)) as caller:
        caller.make_known()

        outage(site.ledger.process, site.ledger_ways())
        answer = caller.ask()

        assert_refused(answer)
        assert answer.seconds <= LEDGER_SECONDS
        assert_recovers(site, caller)
