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

Admission = tuple[float, float, int, int]
"""Between which two moments (monotonic) a call was admitted, what it used, and its bound."""


@pytest.fixture
def narrow() -> str:
    save_tier(Tier(name="NARROW", bucket_capacity=CAPACITY, leak_rate=LEAK * 1000, priority=100))
    return "NARROW"


def admissions(calls: list[Call], log: Log) -> list[Admission]:
    """Each call was admitted after it was sent and before the provider saw it."""
    served = ((call.began, one) for call in calls for one in log.served.get(call.request_id, ()))
    return sorted((began, one.arrived, one.generated, one.bound) for began, one in served)


def excess(admitted: list[Admission]) -> float:
    """By how much the calls of the worst window exceed what may pass in it."""
    return max(
        sum(used for began, arrived, used, _ in admitted if began >= start and arrived <= end)
        - CAPACITY
        - LEAK * (end - start)
        for start, *_ in admitted[::5]
        for _, end, *_ in admitted[::5]
        if end > start
    )


def most_in_the_bucket(admitted: list[Admission], refused: Call) -> float:
    """The highest that the level can have been when a call was refused: all poured as late and as much as can be."""
    poured = [(arrived, bound) for began, arrived, _, bound in admitted if began <= refused.answered]
    return max(
        sum(bound for arrived, bound in poured if arrived >= start) - LEAK * max(refused.began - start, 0)
        for start, _ in poured
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
    refused = [call for call in load.calls if call.code == "rate_limit_exceeded"]
    assert refused
    least = min(most_in_the_bucket(admitted, call) for call in refused[::3])
    assert least + CALL >= (1 - UNDER_ADMITTED) * CAPACITY
