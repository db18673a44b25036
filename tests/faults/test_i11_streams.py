"""RELIABILITY.md I11: streams that run are cut soon after their key has died, also when gateways hear of it late."""

import asyncio
import os
import time
from collections.abc import Callable

import pytest
from django.conf import settings

from apps.accounts import api as accounts
from apps.accounts.models import ApiKey
from apps.config import services
from tests.faults.site.backends import on_leases
from tests.faults.site.checks import unfinished
from tests.faults.site.site import Site
from tests.functional.payers import Payer, eventually, open_payer
from tests.functional.raw_client import RawCall, read_to_their_ends, streams_in_their_midst
from tests.functional.usage_events import booked

Hearing = Callable[[Site, pytest.MonkeyPatch], None]
TOKENS, CHUNK_DELAY_MS = 400, 50
SOON_SECONDS, HEARTBEAT_SECONDS = 1.0, 2.0
"""Production's second is that; its ten seconds are one heartbeat, which takes a second here."""


def told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a message."""


def polling(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is lost: it goes to the cache of somebody else."""
    monkeypatch.setattr(settings, "REDIS_URL", os.environ["REDIS_URL"])


def by_the_heartbeat(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does PostgreSQL answer the gateways: the quota store alone knows."""
    polling(site, monkeypatch)
    for gateway in site.gateways:
        site.ways[gateway.name].ledger.blackhole()


async def streams_everywhere(site: Site, payer: Payer) -> list[RawCall]:
    return [
        call
        for url in site.urls()
        for call in await streams_in_their_midst(url, payer, streams=2, tokens=TOKENS, chunk_delay_ms=CHUNK_DELAY_MS)
    ]


@on_leases
@pytest.mark.parametrize(
    ("hearing", "seconds"),
    [(told, SOON_SECONDS), (polling, SOON_SECONDS), (by_the_heartbeat, HEARTBEAT_SECONDS)],
)
def test_a_revoked_keys_streams_are_cut_everywhere(
    site: Site, monkeypatch: pytest.MonkeyPatch, hearing: Hearing, seconds: float
) -> None:
    payer = open_payer(tokens=1_000_000)
    with asyncio.Runner() as runner:
        calls = runner.run(streams_everywhere(site, payer))
        hearing(site, monkeypatch)
        services._publisher.cache_clear()
        accounts.revoke_api_key(ApiKey.objects.get(owner=payer.user_id).id)
        revoked = time.monotonic()
        runner.run(read_to_their_ends(calls))
    services._publisher.cache_clear()

    assert max(call.arrivals[-1] for call in calls) - revoked <= seconds
    assert not any(call.events[-1] == b"[DONE]" for call in calls)
    site.heal()
    assert eventually(lambda: unfinished(site) == []), unfinished(site)
    assert {booked(call.request_id)["outcome"] for call in calls} == {"revoked"}
