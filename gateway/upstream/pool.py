"""The connections to one origin: a stack of idle ones, a cap on all, and a queue for whoever comes above it."""

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass

from gateway.upstream.client import Origin, UpstreamUnreachable
from gateway.upstream.connection import Connection
from gateway.upstream.wire import host_of


@dataclass(frozen=True, slots=True)
class Pooling:
    """Bounds per origin. ``idle_seconds`` must be shorter than any patience of the upstream's that it does not tell."""

    max_connections: int = 4096
    max_idle: int = 256
    idle_seconds: float = 30.0


class Pool:
    """Connections to one origin. Idle ones are used last-in first-out, so that a quiet hour lets most of them go."""

    def __init__(self, origin: Origin, pooling: Pooling, tls: ssl.SSLContext | None) -> None:
        self.host = host_of(origin)
        self._origin = origin
        self._pooling = pooling
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._free_places = pooling.max_connections
        self._connections: set[Connection] = set()
        self._idle: list[Connection] = []
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._emptied: asyncio.Future[None] | None = None

    def take(self) -> Connection | None:
        """Give the connection that was idle for the shortest time, if there is one."""
        return self._idle.pop() if self._idle else None

    async def connect(self, seconds: float) -> Connection:
        """Open a connection, or wait for one to be given back where there are as many as may be.

        Raises:
            UpstreamUnreachable: neither came about within ``seconds``, or the upstream refused.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._connect()
        except (OSError, UnicodeError) as error:  # TimeoutError is an OSError, and so are all of TLS's
            raise UpstreamUnreachable(f"{self._origin.host}: {error or 'no connection in time'}") from error

    def give_back(self, connection: Connection, server_seconds: float) -> None:
        """Take a connection back after an exchange. ``server_seconds`` is the server's ``Keep-Alive: timeout``."""
        if not connection.finish():
            connection.abort()
            return
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(connection)
        elif len(self._idle) < self._pooling.max_idle and self._emptied is None:
            # A second (or half the time) before the server's own limit, so that our request and its FIN do not cross.
            connection.rest(min(self._pooling.idle_seconds, max(server_seconds - 1, server_seconds / 2)))
            self._idle.append(connection)
        else:
            connection.abort()

    async def close(self) -> None:
        """Abort every connection, used or idle, and wait until they are gone. Whoever waits for one is refused."""
        self._emptied = self._loop.create_future()
        while (waiter := self._next_waiter()) is not None:
            waiter.set_exception(UpstreamUnreachable("the client is closing"))
        for connection in tuple(self._connections):
            connection.abort()
        if self._connections:
            await self._emptied

    async def _connect(self) -> Connection:
        if self._emptied is not None:
            raise UpstreamUnreachable("the client is closed")
        while not self._free_places:
            given = await self._wait()
            if given is None:
                return await self._open()
            if given.is_alive():
                return given
            given.abort()
        self._free_places -= 1
        return await self._open()

    async def _wait(self) -> Connection | None:
        """Wait for a connection, or (None) for the place of one that is gone."""
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._pass_on(waiter.result())
            raise

    def _pass_on(self, given: Connection | None) -> None:
        """Give to the next what came to a waiter in the moment in which it left."""
        if given is None:
            self._free_place()
        elif (waiter := self._next_waiter()) is not None:
            waiter.set_result(given)
        else:
            given.rest(self._pooling.idle_seconds)
            self._idle.append(given)

    async def _open(self) -> Connection:
        """Fill a place, or free it again."""
        try:
            _, connection = await self._loop.create_connection(
                lambda: Connection(self._loop, self._forget), self._origin.host, self._origin.port, ssl=self._tls
            )
        except BaseException:  # Cancelled, too: a place that is not freed is lost for good.
            self._free_place()
            raise
        self._connections.add(connection)
        if self._emptied is not None:
            connection.abort()
        return connection

    def _forget(self, connection: Connection) -> None:
        """The connection is gone."""
        if connection not in self._connections:
            return  # It broke before it was established, and :meth:`_open` frees the place.
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._free_place()
        if self._emptied is not None and not self._connections and not self._emptied.done():
            self._emptied.set_result(None)

    def _free_place(self) -> None:
        waiter = self._next_waiter()
        if waiter is None:
            self._free_places += 1
        else:
            waiter.set_result(None)

    def _next_waiter(self) -> asyncio.Future[Connection | None] | None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None
