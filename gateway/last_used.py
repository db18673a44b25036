"""When each key was last used: noted in memory at every call, written now and then in one statement.

A crash loses the last seconds of it. Operators look at it in days: is this key still in use?
"""

import asyncio
from datetime import UTC, datetime

import structlog

from apps.core.errors import StoreUnavailable
from gateway.control_plane import Database

log = structlog.get_logger("gateway.last_used")


class LastUsed:
    """Key ids with the wall clock's time of their last use, in seconds, since the last write."""

    def __init__(self, database: Database, *, write_seconds: float) -> None:
        self._database = database
        self._write_seconds = write_seconds
        self._times: dict[str, float] = {}

    def note(self, key_id: str, at: float) -> None:
        """A key was used now."""
        self._times[key_id] = at

    async def write_forever(self) -> None:
        """Write what has gathered, again and again."""
        while True:
            await asyncio.sleep(self._write_seconds)
            await self.write()

    async def write(self) -> None:
        """Write what has gathered. While PostgreSQL is away it goes on gathering: one entry per key."""
        times, self._times = self._times, {}
        if not times:
            return
        try:
            await self._database.note_key_uses({key: datetime.fromtimestamp(at, UTC) for key, at in times.items()})
        except StoreUnavailable:
            log.warning("last_used.not_written", keys=len(times))
            self._times = times | self._times
