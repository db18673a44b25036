"""A gateway: its parts, how they start and stop, and the configuration that it follows."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Collection
from contextlib import AsyncExitStack
from importlib import import_module
from pathlib import Path
from tempfile import gettempdir
from typing import Any
from uuid import UUID

import structlog

from apps.core.errors import StoreUnavailable
from apps.core.http.caller import INFERENCE
from apps.core.ids import uuid7
from gateway import access_log, metrics, settings, shell
from gateway.authentication import Authenticator
from gateway.cache import Cache
from gateway.config_watch import ConfigWatch
from gateway.control_plane import (
    LIBRARY,
    QUOTA_REDIS_URL,
    REDIS_URL,
    SIGNING_KEYS,
    TOMBSTONE_MS,
    AccessClaims,
    Database,
    EntryKind,
    Principal,
    Snapshot,
    note_call,
    shard_of,
)
from gateway.exchange import Exchange
from gateway.freshness import Freshness
from gateway.health import Health
from gateway.idempotency import Answers
from gateway.last_used import LastUsed
from gateway.lease_supply import Supply
from gateway.leases import LeaseQuota
from gateway.passthrough import Services
from gateway.quota import DEAD, Quota
from gateway.refusals import Refusals
from gateway.reservations import Reservations
from gateway.row_locks import RowLockQuota
from gateway.server.request import Request
from gateway.spool import Spool
from gateway.spool_file import SUFFIX, SpoolFile
from gateway.spool_keeper import SpoolKeeper
from gateway.upstream.client import UpstreamClient
from gateway.upstream.http1 import Http1Client
from gateway.upstream.pool import Pooling
from gateway.valkey_cluster import Store, connect

GARBAGE_THRESHOLDS = (20_000, 20, 20)
"""Objects before a young collection, young ones before a middle one, middle ones before an old one."""

POOLING = Pooling(
    max_connections=settings.UPSTREAM_CONNECTIONS,
    max_idle=settings.UPSTREAM_IDLE_CONNECTIONS,
    idle_seconds=settings.UPSTREAM_IDLE_SECONDS,
)

REFUSALS_SECONDS = 1.0
SPOOL_SECONDS = 3.0
"""How long a stop waits for the ledger to have everything; what it has not is left to the next gateway."""

log = structlog.get_logger("gateway")

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Gateway:
    """One gateway process, as its server starts it, hands it requests, and stops it."""

    snapshot: Snapshot
    authenticator: Authenticator
    reservations: Reservations
    answers: Answers
    upstreams: UpstreamClient
    health: Health
    _ledger: UUID

    def __init__(self) -> None:
        self.services = Services(settings.SERVICES, settings.INTERNAL_KEY)
        self._tasks: list[asyncio.Task[None]] = []
        self._open = AsyncExitStack()
        self._started = False
        self._supply: Supply | None = None
        self._keeper: SpoolKeeper | None = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """ASGI's entry, by which its server starts and stops it. Requests come to :meth:`serve`."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def serve(self, request: Request) -> None:
        """Answer one request."""
        await shell.handle(self, request)

    def missing(self) -> list[str]:
        """What start-up has not brought yet."""
        missing = [] if self._started else ["configuration"]
        return missing if self._keeper is None or self._keeper.is_known else [*missing, "spool"]

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
        store = await _connect_when_there()
        self._open.push_async_callback(store.close)
        cache = Cache(REDIS_URL, timeout_s=settings.VALKEY_TIMEOUT_SECONDS)
        self._open.push_async_callback(cache.close)
        self.upstreams = _upstream_client()
        self._open.push_async_callback(self.upstreams.close)
        self._open.push_async_callback(self.services.close)
        self._ledger = await _ledger_when_there(database)
        quota = self._quota(database, store)
        watch = self._watch()

        async def look_up(credential: str | AccessClaims, org_id: UUID | None) -> Principal:
            return await self._with_known_tier(await database.principal(credential, org_id), watch.freshness)

        self._last_used = LastUsed(database, write_seconds=settings.LAST_USED_SECONDS)
        self.authenticator = Authenticator(
            look_up, self._verify, watch.freshness, self._last_used.note, size=settings.CREDENTIAL_CACHE_SIZE
        )
        self.answers = Answers(cache)
        self.reservations = Reservations(
            quota, _refusals(cache, store), self.answers, renew_seconds=settings.RENEW_SECONDS
        )
        self.health = Health(database, store, quota, needs_database=settings.QUOTA_BACKEND == "postgres")
        for forever in (
            watch.follow_forever(), self.health.watch_forever(), self.reservations.renew_forever(),
            self.reservations.journal_refusals_forever(REFUSALS_SECONDS), self._last_used.write_forever(),
            cache.connect_forever(),
        ):  # fmt: skip
            self._tasks.append(asyncio.create_task(forever))

    def _quota(self, database: Database, store: Store) -> Quota:
        if settings.QUOTA_BACKEND == "postgres":
            hold_ms, running_ms = round(settings.HOLD_SECONDS * 1000), round((settings.CALL_SECONDS + 60) * 1000)
            row_locks = RowLockQuota(store, database, hold_ms=hold_ms, running_ms=running_ms)
            self._open.push_async_callback(row_locks.close)
            return row_locks
        spool = _spool(self._ledger)
        self._keeper = SpoolKeeper(spool, store, database)
        self._supply = Supply(database, store, self._keeper.register)
        leases = LeaseQuota(
            store, self._supply, spool, wait_seconds=settings.LEASE_WAIT_SECONDS, tombstone_ms=TOMBSTONE_MS
        )
        self._tasks.append(asyncio.create_task(self._keeper.keep_forever(leases.send)))
        self._open.push_async_callback(leases.close)
        return leases

    def _watch(self) -> ConfigWatch:
        """With a thread of its own: a revocation must not queue behind the calls that it is to end."""
        database = Database(1, timeout_s=settings.DATABASE_SECONDS)
        self._open.callback(database.close)
        return ConfigWatch(
            database, self, poll_seconds=settings.POLL_SECONDS, outage_seconds=settings.CREDENTIAL_OUTAGE_SECONDS
        )

    def _verify(self, token: str) -> AccessClaims:
        return self.snapshot.verify(token)

    async def _with_known_tier(self, principal: Principal, freshness: Freshness) -> Principal:
        """The same, once its tier is among those that we follow: one may have been made a moment ago.

        Raises:
            StoreUnavailable: PostgreSQL does not answer, or the tier is gone again.
        """
        for _ in range(2):  # A comparison that we join may have begun before the tier was made; the next one cannot.
            if principal.tier not in self.snapshot.tiers:
                await freshness.compare()
        if principal.tier not in self.snapshot.tiers:
            raise StoreUnavailable(f"the tier {principal.tier} is not known")
        return principal

    def forget(self, subjects: Collection[str] | None) -> None:
        """Forget these subjects' credentials, or (None) everybody's; calls under way whose own is dead are cut."""
        self.authenticator.forget(subjects)
        self.reservations.look_again(subjects, self._is_good, DEAD)

    async def _is_good(self, exchange: Exchange) -> None:
        await self.authenticator.principal(exchange, INFERENCE)

    def adopt(self, snapshot: Snapshot, changed: set[str]) -> None:
        """Take over a new configuration as a whole; calls under way keep the one that they began with."""
        if not self._started:
            _settle_memory()
        self.snapshot = snapshot
        if self._supply is not None:
            self._supply.adopt_soon(snapshot.ledger_generation)
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
        if self._keeper is not None:
            await self._keeper.close(SPOOL_SECONDS)
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


async def _connect_when_there() -> Store:
    """The first connection to the quota store; a gateway that is started before it waits."""
    while True:
        try:
            return await connect(QUOTA_REDIS_URL, timeout_s=settings.VALKEY_TIMEOUT_SECONDS, library=LIBRARY.text)
        except StoreUnavailable as error:
            log.warning("valkey.away", reason=str(error))
            await asyncio.sleep(settings.POLL_SECONDS)


async def _ledger_when_there(database: Database) -> UUID:
    """Which ledger this process works on: other ledgers' spools are none of its business."""
    while True:
        try:
            return await database.ledger_id()
        except StoreUnavailable as error:
            log.warning("ledger.away", reason=str(error))
            await asyncio.sleep(settings.POLL_SECONDS)


def _spool(ledger: UUID) -> Spool:
    """A new one, beside those of the other gateways of this ledger, which adopt it when this process dies."""
    root = Path(settings.SPOOL_DIR) if settings.SPOOL_DIR else Path(gettempdir()) / "leaky-spool"
    file = SpoolFile.create(root / str(ledger) / f"{uuid7()}{SUFFIX}")
    call_ms, resend_ms = settings.CALL_SECONDS * 1000, settings.SPOOL_RESEND_SECONDS * 1000
    return Spool(file, call_ms=round(call_ms), resend_ms=round(resend_ms))


def _refusals(cache: Cache, store: Store) -> Refusals:
    async def note(account: UUID, note_id: UUID, payload: bytes) -> None:
        await store.call_function(note_call(shard_of(account), EntryKind.DENIED, note_id, payload))

    return Refusals(cache, note)


def _upstream_client() -> UpstreamClient:
    if settings.UPSTREAM_CLIENT == "aiohttp":
        client: UpstreamClient = import_module("gateway.upstream.aiohttp_client").AiohttpClient(POOLING)
        return client
    return Http1Client(POOLING)
