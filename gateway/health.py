"""Liveness and readiness of a gateway.

Ready means that a call could be served now: the configuration is loaded and fresh, both stores answer, and enforcement
is really there: an account without tokens has been refused. (A limiter that was built and never registered once let
everything through in a product like this one; so we ask before we open.)
"""

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

import orjson
import structlog

from apps.core.errors import InsufficientQuota, StoreUnavailable
from apps.core.units import Weights
from gateway import settings
from gateway.control_plane import Bucket, CallFacts, Database, Policy, Tier, account_id
from gateway.errors import JSON
from gateway.exchange import Exchange
from gateway.quota import Demand, Quota, Terms
from gateway.valkey_cluster import Store

if TYPE_CHECKING:
    from gateway.app import Gateway

log = structlog.get_logger("gateway.health")

NOBODY = UUID("00000000-0000-4000-8000-00000000ca7a")
CANARY_FACTS = CallFacts(
    request_id="canary", payer_kind="user", payer_id=NOBODY, org_id=None, user_id=NOBODY, key_id="canary",
    provider="canary", model="canary", endpoint="canary", streamed=False, traceparent="", price_id="",
    weights=Weights(), input_price=0, cached_input_price=0, output_price=0, currency="USD",
)  # fmt: skip
CANARY = Demand(
    NOBODY,
    1,
    Terms(
        account_id("user", NOBODY, "canary"), Tier("canary", 1000, 1_000_000, 1, 0), Policy(Bucket(1000, 1_000_000)),
        "canary", str(NOBODY), None,
    ),
    CANARY_FACTS,
    orjson.dumps(CANARY_FACTS),
    (),
    None,
)  # fmt: skip
"""One token for a payer who never has any."""


class Health:
    """What is wrong now, if anything: asked every half second, so that a look costs nothing."""

    def __init__(self, database: Database, valkey: Store, quota: Quota, *, needs_database: bool) -> None:
        self._database = database
        self._valkey = valkey
        self._quota = quota
        self._needs_database = needs_database
        self._enforced = False
        self.failing: list[str] = ["starting"]

    async def watch_forever(self) -> None:
        """Ask the stores, again and again."""
        while True:
            self.failing = await self._ask()
            await asyncio.sleep(settings.POLL_SECONDS)

    async def _ask(self) -> list[str]:
        failing = []
        try:
            await self._valkey.ping()
        except StoreUnavailable:
            failing.append("valkey")
        try:
            async with asyncio.timeout(1):
                await self._database.versions()
                self._enforced = self._enforced or await self._canary_is_refused()
        except (StoreUnavailable, TimeoutError):
            if self._needs_database or not self._enforced:  # Leases serve on without it.
                failing.append("postgresql")
        if not self._enforced:
            failing.append("quota_enforcement")
        return failing

    async def _canary_is_refused(self) -> bool:
        """Whether an account that has nothing is refused: enforcement is really there."""
        try:
            await self._quota.admit(CANARY)
        except InsufficientQuota:
            return True
        log.critical("quota.not_enforced")
        return False


async def livez(_gateway: "Gateway", exchange: Exchange) -> None:
    """The process runs. Depends on no store."""
    await exchange.answer(200, (JSON,), b'{"status":"ok"}')


async def readyz(gateway: "Gateway", exchange: Exchange) -> None:
    """200 when calls can be served, else 503 with the names of what is missing."""
    failing = [*gateway.health.failing, *gateway.missing()]
    body = orjson.dumps({"status": "unavailable" if failing else "ok", "failing": failing})
    await exchange.answer(503 if failing else 200, (JSON,), body)
