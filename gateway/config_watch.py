"""Following the operators' configuration: told by a message, and compared at an interval behind it.

A message may be lost (its sender died, the cache store was away); the comparison is one small query, so a change is
never later than the interval.
"""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Protocol

import redis.asyncio as redis
import structlog

from apps.core.errors import StoreUnavailable
from gateway import metrics
from gateway.control_plane import CONFIG_CHANNEL, CREDENTIALS, REDIS_URL, Database, Snapshot
from gateway.freshness import Freshness
from gateway.tokenizer import warm

log = structlog.get_logger("gateway.config")

RECONNECT_SECONDS = 1.0


class Follower(Protocol):
    """Who is told of changes."""

    def adopt(self, snapshot: Snapshot, changed: set[str]) -> None:
        """Take over a new configuration; ``changed`` names the topics that differ."""

    def forget(self, subjects: Collection[str] | None) -> None:
        """Forget these subjects' credentials, or (None) everybody's."""


class ConfigWatch:
    """Tells its follower at start and after every change. Its database should have a thread that nobody else waits for.

    ``freshness`` says since when nothing that the follower knows has changed.
    """

    def __init__(self, database: Database, follower: Follower, *, poll_seconds: float, outage_seconds: float) -> None:
        self._database = database
        self._follower = follower
        self._poll_seconds = poll_seconds
        self._versions: dict[str, int] | None = None
        self._told = asyncio.Event()
        self.freshness = Freshness(self._compare, tolerated_s=2 * poll_seconds, outage_s=outage_seconds)

    async def follow_forever(self) -> None:
        """Compare now, and again whenever told or the interval has passed. PostgreSQL being away is waited out."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen_forever())
            while True:
                try:
                    await self.freshness.compare()
                except StoreUnavailable:
                    log.warning("configuration.unreachable")
                await self._wait()

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._poll_seconds):
                await self._told.wait()
        self._told.clear()

    async def _compare(self) -> None:
        versions = dict(await self._database.versions())
        metrics.CONFIGURATION_CHECKED.set_to_current_time()
        known = self._versions or {}
        changed = {topic for topic, version in versions.items() if known.get(topic) != version}
        if self._versions is not None and not changed:
            return
        if CREDENTIALS in changed:  # First, because somebody may have been shut out.
            self._follower.forget(await self._subjects(known.get(CREDENTIALS), versions[CREDENTIALS]))
        if self._versions is None or changed - {CREDENTIALS}:
            versions = await self._adopt(known, versions)
        self._versions = versions

    async def _subjects(self, known: int | None, version: int) -> Collection[str] | None:
        return None if known is None else await self._database.changes(known, version)

    async def _adopt(self, known: Mapping[str, int], versions: Mapping[str, int]) -> dict[str, int]:
        """Hand a new snapshot on; returns the versions that the follower now has."""
        snapshot = await self._database.snapshot()
        await asyncio.to_thread(warm, {model.encoding for model in snapshot.catalogue.models.values()})
        # The snapshot does not hold credentials: of those, what was compared above is what has been forgotten.
        adopted = {**snapshot.versions, CREDENTIALS: versions.get(CREDENTIALS, 0)}
        self._follower.adopt(snapshot, {topic for topic, version in adopted.items() if known.get(topic) != version})
        return adopted

    async def _listen_forever(self) -> None:
        while True:
            try:
                await self._listen()
            except (redis.RedisError, OSError) as error:
                log.warning("configuration.push_away", reason=type(error).__name__)
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self) -> None:
        async with redis.Redis.from_url(REDIS_URL) as client, client.pubsub() as messages:
            await messages.subscribe(CONFIG_CHANNEL)
            async for _ in messages.listen():
                self._told.set()
