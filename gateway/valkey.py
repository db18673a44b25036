"""The gateway's way to Valkey: asyncio, few connections, all commands of one loop tick in one write.

A client that takes a connection from a pool, writes and waits costs several times what the command costs the server.
Here callers share a connection: their commands go out together, replies come back in the order of the commands, and
each is handed to whoever waits for it.

Functions of our library are told the ``run_id`` of the very process that they run in: it is read when a connection is
made, and lives as long as the connection does. So nobody between us and the server can mistake one process for another.

A reply must never reach the wrong caller, so a connection that is late, broken or talks nonsense is dropped with all
that wait on it, and made again in the background. Until then calls fail at once: the caller can say 503, and no queue
grows in front of a dead store.
"""

import asyncio
import logging
import ssl
from dataclasses import dataclass
from typing import TypeVar, cast
from urllib.parse import unquote, urlsplit

from apps.core.errors import ConfigurationError, LeakyError, StoreUnavailable
from gateway.valkey_connection import Argument, Connection, FunctionCall, Reply, ValkeyReplyError, pack

__all__ = ["Argument", "FunctionCall", "Reply", "Valkey", "ValkeyReplyError"]

log = logging.getLogger(__name__)

T = TypeVar("T")

CONNECT_SECONDS = 1.0
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.01, 0.5


@dataclass(frozen=True, slots=True)
class _Server:
    """Where and how to connect. The URL stays out of logs: it has the password."""

    host: str
    port: int
    database: int
    credentials: tuple[str, ...]
    tls: ssl.SSLContext | None


class Valkey:
    """A client of one server. Made by :meth:`connect`, ended by :meth:`close`."""

    def __init__(self, server: _Server, *, timeout_s: float, connections: int, max_pending: int, library: str) -> None:
        self._server, self._timeout_s, self._max_pending = server, timeout_s, max_pending
        self._wanted = connections
        self._library = library
        self._live: list[Connection] = []
        self._turn = 0
        self._reconnecting: set[asyncio.Task[None]] = set()
        self._closing = False
        self.run_id = ""
        """The server's ``run_id`` as of the newest connection: another one means that the server was restarted."""

    @classmethod
    async def connect(
        cls, url: str, *, timeout_s: float = 0.1, connections: int = 1, max_pending: int = 16_384, library: str = ""
    ) -> "Valkey":
        """Connect to ``redis://[user][:password]@host:port/database`` (``rediss://`` for TLS).

        ``timeout_s`` bounds each call, ``max_pending`` the calls in flight on one of the ``connections``. ``library``
        is the text of the functions; a server that has not got them is given them.

        Raises:
            ConfigurationError: the URL is not one of ours.
            ValkeyReplyError: wrong password or database.
            StoreUnavailable: no connection, or no answer.
        """
        valkey = cls(
            _server(url), timeout_s=timeout_s, connections=connections, max_pending=max_pending, library=library
        )
        try:
            for _ in range(connections):
                await valkey._open()
        except LeakyError:
            await valkey.close()
            raise
        return valkey

    @property
    def connected(self) -> bool:
        """Whether a call would be sent now."""
        return bool(self._live)

    async def call(self, *args: Argument) -> Reply:
        """Run one command: ``await valkey.call("HGET", key, field)``. Cancelling the caller disturbs nobody else.

        Raises:
            ValkeyReplyError: the command is wrong.
            StoreUnavailable: no connection, no answer in time, too many calls in flight, or the server serves nobody.
                The command may have been carried out or not.
        """
        return await self.send(*args)

    def send(self, *args: Argument) -> asyncio.Future[Reply]:
        """The same as a future, which is done when the reply is here.

        Raises:
            StoreUnavailable: it cannot be sent.
        """
        return self._next().send(pack(args))

    async def call_function(self, call: FunctionCall[T], *, asking: bool = False) -> T:
        """Run a function of the library; a server that has lost the library gets it, once.

        ``asking``: the server does not own the slot yet, and was named by the one that gives it away.

        Raises:
            ValkeyReplyError, StoreUnavailable: as :meth:`call`.
        """
        connection = self._next()
        try:
            return call.decode(await self._run(connection, call, asking))
        except ValkeyReplyError as error:
            if "Function not found" not in str(error) or not self._library:
                raise
        await _load(connection, self._library)
        return call.decode(await self._run(connection, call, asking))

    async def _run(self, connection: Connection, call: FunctionCall[object], asking: bool) -> Reply:  # noqa: FBT001
        if not asking:
            return await connection.send_function(call)
        _, reply = await asyncio.gather(connection.send(pack(("ASKING",))), connection.send_function(call))
        return reply

    async def ping(self) -> None:
        """Return when the server has answered.

        Raises:
            StoreUnavailable
        """
        await self.call("PING")

    def run_id_of(self, key: str) -> str:  # noqa: ARG002 - a cluster's clients need it
        """The ``run_id`` of the process that has this key."""
        return self.run_id

    def _next(self) -> Connection:
        if not self._live:
            raise StoreUnavailable("no connection to Valkey")
        self._turn += 1
        return self._live[self._turn % len(self._live)]

    async def close(self) -> None:
        """Close the connections; calls in flight fail with ``StoreUnavailable``."""
        self._closing = True
        for task in self._reconnecting:
            task.cancel()
        await asyncio.gather(*self._reconnecting, return_exceptions=True)
        closing = list(self._live)
        for connection in closing:
            connection.drop("the connection to Valkey was closed")
        await asyncio.gather(*(connection.closed.wait() for connection in closing))

    async def _open(self) -> None:
        """Make a connection that is ready for calls.

        Raises:
            ValkeyReplyError, StoreUnavailable
        """
        connection = Connection(self._timeout_s, self._max_pending, self._on_lost)
        try:
            await _dial(self._server, connection)
            run_id = await _greet(self._server, connection)
            if self._library:
                await _load(connection, self._library)
        except BaseException:  # Cancelled, too: nobody else knows of this connection.
            connection.drop("the connection to Valkey could not be made")
            raise
        self.run_id = connection.run_id = run_id
        self._live.append(connection)

    def _on_lost(self, connection: Connection) -> None:
        if connection not in self._live:
            return
        self._live.remove(connection)
        if not self._closing:
            task = asyncio.get_running_loop().create_task(self._reopen())
            self._reconnecting.add(task)
            task.add_done_callback(self._reconnecting.discard)

    async def _reopen(self) -> None:
        """Try until there is a connection again, at first at once, then less and less often."""
        log.warning("valkey connection lost")
        delay = FIRST_RETRY_SECONDS
        while True:
            try:
                await self._open()
            except LeakyError as error:
                log.warning("valkey connection not made: %s", error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, LAST_RETRY_SECONDS)
            else:
                log.info("valkey connection made")
                return


async def _dial(server: _Server, connection: Connection) -> None:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await loop.create_connection(lambda: connection, server.host, server.port, ssl=server.tls)
    except (OSError, TimeoutError) as error:
        raise StoreUnavailable(f"no connection to Valkey: {error or 'it took too long'}") from error


async def _greet(server: _Server, connection: Connection) -> str:
    """Log in, choose the database; returns the server's ``run_id``."""
    if server.credentials:
        await connection.send(pack(("AUTH", *server.credentials)))
    await connection.send(pack(("SELECT", server.database)))
    info = await connection.send(pack(("INFO", "server")))
    if connection.lost:
        raise StoreUnavailable("Valkey closed the connection after the greeting")
    text = cast("bytes", info).decode()
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return lines["run_id"]


async def _load(connection: Connection, library: str) -> None:
    """Give the server the library. Its name has the hash of its text, so one that is there already is the same."""
    try:
        await connection.send(pack(("FUNCTION", "LOAD", library)))
    except ValkeyReplyError as error:
        if "already exists" not in str(error):
            raise


def _server(url: str) -> _Server:
    parts = urlsplit(url)
    database = parts.path.strip("/") or "0"
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname or not database.isdecimal() or parts.query:
        raise ConfigurationError("a Valkey URL is redis://[user][:password]@host:port/database, or rediss:// for TLS")
    credentials = tuple(unquote(word) for word in (parts.username, parts.password) if word)
    tls = ssl.create_default_context() if parts.scheme == "rediss" else None
    return _Server(parts.hostname, parts.port or 6379, int(database), credentials, tls)
