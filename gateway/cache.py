"""The cache Valkey, as far as calls use it: what it forgets, or cannot take, they do without.

It is connected in the background, so a gateway starts and serves without it.
"""

import asyncio

import structlog

from apps.core.errors import LeakyError, StoreUnavailable
from gateway.valkey import Reply, Valkey

log = structlog.get_logger("gateway.cache")

RECONNECT_SECONDS = 1.0


class Cache:
    """Values with a life of so many seconds, by key."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._url, self._timeout_s = url, timeout_s
        self._valkey: Valkey | None = None

    async def connect_forever(self) -> None:
        """Return when there is a connection; from then on it is kept by itself."""
        while self._valkey is None:
            try:
                self._valkey = await Valkey.connect(self._url, timeout_s=self._timeout_s)
            except LeakyError as error:
                log.warning("cache.away", reason=str(error))
                await asyncio.sleep(RECONNECT_SECONDS)

    async def close(self) -> None:
        """Close the connection."""
        if self._valkey is not None:
            await self._valkey.close()

    async def get(self, key: str) -> bytes | None:
        """The value; None when there is none, or nobody to ask."""
        try:
            reply = await self._connected().call("GET", key)
        except LeakyError:
            return None
        return reply if isinstance(reply, bytes) else None

    async def put(self, key: str, value: bytes, *, seconds: int) -> bool:
        """Keep a value; whether it was taken."""
        try:
            return await self._connected().call("SET", key, value, "EX", seconds) == b"OK"
        except LeakyError:
            return False

    def put_field_soon(self, key: str, field: str, value: bytes, *, seconds: int) -> None:
        """Keep a value beside others of one key, if that can be done; nobody waits for it."""
        try:
            valkey = self._connected()
            for command in (("HSET", key, field, value), ("EXPIRE", key, seconds)):
                valkey.send(*command).add_done_callback(_forget)
        except StoreUnavailable:
            return

    def _connected(self) -> Valkey:
        if self._valkey is None:
            raise StoreUnavailable("the cache has not been there yet")
        return self._valkey


def _forget(reply: "asyncio.Future[Reply]") -> None:
    """What became of it matters to nobody; an exception that nobody looks at would be logged."""
    if not reply.cancelled():
        reply.exception()
