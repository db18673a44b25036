"""Following the operators' configuration: told by a message, and compared at an interval behind it.

A message may be lost (its sender died, the cache store was away); the comparison is one small query, so a change is
never later than the interval.
"""

import asyncio
from collections.abc import Callable

import redis.asyncio as redis
import structlog

from apps.core.errors import StoreUnavailable
from gateway import metrics
from gateway.control_plane import CONFIG_CHANNEL, REDIS_URL, Database, Snapshot
from gateway.tokenizer import warm

log = structlog.get_logger("gateway.config")

RECONNECT_SECONDS = 1.0


class ConfigWatch:
    """Calls ``adopt(snapshot, changed topics)`` at start and after every change."""

    def __init__(self, database: Database, adopt: Callable[[Snapshot, set[str]], None], *, poll_seconds: float) -> None:
        self._database = database
        self._adopt = adopt
        self._poll_seconds = poll_seconds
        self._versions: dict[str, int] | None = None
        self._told = asyncio.Event()

    async def follow_forever(self) -> None:
        """Compare now, and again whenever told or the interval has passed. PostgreSQL being away is waited out."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen_forever())
            while True:
                await self._compare()
                await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._poll_seconds):
                await self._told.wait()
        except TimeoutError:
            return
        self._told.clear()

    async def _compare(self) -> None:
        try:
            versions = dict(await self._database.versions())
            metrics.CONFIGURATION_CHECKED.set_to_current_time()
            if versions == self._versions:
                return
            snapshot = await self._database.snapshot()
        except StoreUnavailable:
            log.warning("configuration.unreachable")
            return
        await asyncio.to_thread(warm, {model.encoding for model in snapshot.catalogue.models.values()})
        before = self._versions or {}
        self._versions = dict(snapshot.versions)
        changed = {topic for topic, version in self._versions.items() if before.get(topic) != version}
        self._adopt(snapshot, changed)

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
