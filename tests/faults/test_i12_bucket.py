"""RELIABILITY.md I12: four gateways, one payer, one clock an hour early: never more than the bucket lets through."""

import pytest

from apps.orgs.api import assign_tier
from apps.orgs.models import Tier
from apps.orgs.tiers import save_tier
from tests.faults.site.backends import on_both
from tests.faults.site.clock import HOUR
from tests.faults.site.load import Call, Load
from tests.faults.site.site import Site
from tests.faults.site.witness import Log
from tests.functional.payers import eventually, open_payer

CAPACITY, LEAK = 2000, 400
"""Tokens, and tokens per second."""

UNDER_ADMITTED = 0.01
CALL = 100
"""No call of the load needs more tokens than this."""

Admission = tuple[float, float, int]
"""Between which two moments (monotonic) a call was admitted, and what it used."""


@pytest.fixture
def narrow() -> str:
    save_tier(Tier(name="NARROW", bucket_capacity=CAPACITY, leak_rate=LEAK * 1000, priority=100))
    return "NARROW"


def admissions(calls: list[Call], log: Log) -> list[Admission]:
    """Each call was admitted after it was sent and before the provider saw it."""
    served = ((call.began, one) for call in calls for one in log.served.get(call.request_id, ()))
    return sorted((began, one.arrived, one.generated) for began, one in served)


def excess(admitted: list[Admission]) -> float:
    """By how much the calls of the worst window exceed what may pass in it."""
    return max(
        sum(used for began, arrived, used in admitted if began >= start and arrived <= end)
        - CAPACITY
        - LEAK * (end - start)
        for start, _, _ in admitted[::5]
        for _, end, _ in admitted[::5]
        if end > start
    )


@on_both
def test_the_bucket_is_exact_over_four_gateways(site: Site, narrow: str) -> None:
    site.add_gateway("early", clock=site.clock(HOUR))
    site.add_gateway("fourth")
    payer = open_payer(tokens=10_000_000)
    assign_tier("user", payer.user_id, narrow)

    with Load(site.urls(), [payer], rate=60, streams=0, spare=1) as load:
        load.until(lambda _: len(load.served()) >= 200)

    log = Log(site.stub.requests)
    assert eventually(lambda: log.under_way() == 0)
    admitted = admissions(load.calls, log)
    assert excess(admitted) <= 0
    began, ended = load.calls[0].began, max(arrived for _, arrived, _ in admitted)
    assert load.statuses()[(429, "rate_limit_exceeded")] > 0
    passed = sum(used for _, _, used in admitted)
    assert passed >= (1 - UNDER_ADMITTED) * (CAPACITY + LEAK * (ended - began)) - CALL
