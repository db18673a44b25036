"""A gateway: its parts, how they start and stop, and the configuration that it follows."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Collection
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Any

import structlog

from apps.core.errors import StoreUnavailable
from gateway import access_log, metrics, settings, shell
from gateway.authentication import Authenticator
from gateway.config_watch import ConfigWatch
from gateway.control_plane import (
    LEAKY_BUCKET,
    QUOTA_REDIS_URL,
    SIGNING_KEYS,
    AccessClaims,
    Database,
    Quota,
    RowLockQuota,
    Snapshot,
)
from gateway.health import Health
from gateway.last_used import LastUsed
from gateway.passthrough import Services
from gateway.reservations import Reservations
from gateway.server.request import Request
from gateway.upstream.client import UpstreamClient
from gateway.upstream.http1 import Http1Client
from gateway.upstream.pool import Pooling
from gateway.valkey import Valkey

GARBAGE_THRESHOLDS = (20_000, 20, 20)
"""Objects before a young collection, young ones before a middle one, middle ones before an old one."""

POOLING = Pooling(
    max_connections=settings.UPSTREAM_CONNECTIONS,
    max_idle=settings.UPSTREAM_IDLE_CONNECTIONS,
    idle_seconds=settings.UPSTREAM_IDLE_SECONDS,
)

log = structlog.get_logger("gateway")

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Gateway:
    """One gateway process, as an ASGI application."""

    snapshot: Snapshot
    authenticator: Authenticator
    reservations: Reservations
    upstreams: UpstreamClient
    health: Health

    def __init__(self) -> None:
        self.services = Services(settings.SERVICES, settings.INTERNAL_KEY)
        self._tasks: list[asyncio.Task[None]] = []
        self._open = AsyncExitStack()
        self._started = False

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """ASGI's entry, by which its server starts and stops it. Requests come to :meth:`serve`."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def serve(self, request: Request) -> None:
        """Answer one request."""
        await shell.handle(self, request)

    def missing(self) -> list[str]:
        """What start-up has not brought yet."""
        return [] if self._started else ["configuration"]

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def start(self) -> None:
        """Connect, load the configuration, and begin to follow it. Waits for the stores: they may start later."""
        database = Database(settings.DATABASE_THREADS, timeout_s=settings.DATABASE_SECONDS)
        self._open.callback(database.close)
        valkey = await _connect_when_there()
        self._open.push_async_callback(valkey.close)
        self.upstreams = _upstream_client()
        self._open.push_async_callback(self.upstreams.close)
        self._open.push_async_callback(self.services.close)
        quota = self._quota(database)
        watch = self._watch()
        self._last_used = LastUsed(database, write_seconds=settings.LAST_USED_SECONDS)
        self.authenticator = Authenticator(
            database.principal, self._verify, watch.freshness, self._last_used.note, size=settings.CREDENTIAL_CACHE_SIZE
        )
        self.reservations = Reservations(quota, valkey, renew_seconds=settings.RENEW_SECONDS)
        self.health = Health(database, valkey, quota)
        for forever in (
            watch.follow_forever(), self.health.watch_forever(), self.reservations.renew_forever(),
            self._last_used.write_forever(),
        ):  # fmt: skip
            self._tasks.append(asyncio.create_task(forever))

    def _quota(self, database: Database) -> Quota:
        return RowLockQuota(database, hold_ms=round(settings.HOLD_SECONDS * 1000))

    def _watch(self) -> ConfigWatch:
        """With a thread of its own: a revocation must not queue behind the calls that it is to end."""
        database = Database(1, timeout_s=settings.DATABASE_SECONDS)
        self._open.callback(database.close)
        return ConfigWatch(
            database, self, poll_seconds=settings.POLL_SECONDS, outage_seconds=settings.CREDENTIAL_OUTAGE_SECONDS
        )

    def _verify(self, token: str) -> AccessClaims:
        return self.snapshot.verify(token)

    def forget(self, subjects: Collection[str] | None) -> None:
        """Forget these subjects' credentials, or (None) everybody's."""
        self.authenticator.forget(subjects)

    def adopt(self, snapshot: Snapshot, changed: set[str]) -> None:
        """Take over a new configuration as a whole; calls under way keep the one that they began with."""
        if not self._started:
            _settle_memory()
        self.snapshot = snapshot
        if SIGNING_KEYS in changed:  # One may have been withdrawn, with all tokens that it signed.
            self.forget(None)
        self._started = True
        log.info("configuration.adopted", versions=dict(snapshot.versions), changed=sorted(changed))

    async def stop(self) -> None:
        """Settle what is left, then let go of everything."""
        await self.reservations.drain(settings.DRAIN_SECONDS)
        await self._last_used.write()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._open.aclose()
        access_log.flush()
        metrics.tally.flush()


def _settle_memory() -> None:
    """Tell the garbage collector that what is here now stays.

    Django and the tokenizers are hundreds of thousands of objects that never die; walking them again and again costs a
    gateway a quarter of its time. What a call leaves behind is freed by reference counts, but for a few cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


async def _connect_when_there() -> Valkey:
    """The first connection to the quota store; a gateway that is started before it waits."""
    while True:
        try:
            return await Valkey.connect(
                QUOTA_REDIS_URL, timeout_s=settings.VALKEY_TIMEOUT_SECONDS, scripts=[LEAKY_BUCKET]
            )
        except StoreUnavailable as error:
            log.warning("valkey.away", reason=str(error))
            await asyncio.sleep(settings.POLL_SECONDS)


def _upstream_client() -> UpstreamClient:
    if settings.UPSTREAM_CLIENT == "aiohttp":
        client: UpstreamClient = import_module("gateway.upstream.aiohttp_client").AiohttpClient(POOLING)
        return client
    return Http1Client(POOLING)
