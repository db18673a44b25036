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
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar, cast
from urllib.parse import unquote, urlsplit

import hiredis

from apps.core.errors import ConfigurationError, LeakyError, StoreUnavailable

log = logging.getLogger(__name__)

Argument: TypeAlias = bytes | str | int
Reply: TypeAlias = "bytes | int | list[Reply] | LeakyError | None"
"""What Valkey answers. An error can only be a part of a list; on its own it is raised."""

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")

_pack = cast("Callable[[tuple[Argument, ...]], bytes]", hiredis.pack_command)

CONNECT_SECONDS = 1.0
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.01, 0.5
SECOND_LOOK_SECONDS = 0.02

NOT_NOW = {"BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "READONLY", "TRYAGAIN"}
"""First words of replies by which the server says that it cannot serve anybody now."""


class ValkeyReplyError(LeakyError):
    """Valkey refused the command itself: a fault of ours, not of the store's health."""

    code = "store_refused"

    @property
    def word(self) -> str:
        """The first word of the reply, which names the kind of error: ``NOSCRIPT``, ``WRONGPASS``, ``ERR``…"""
        return str(self).partition(" ")[0]


class FunctionCall(Protocol[T_co]):
    """One run of a function of the library; ``args`` lack the ``run_id``, which the connection puts before them."""

    @property
    def function(self) -> str:
        """The function's name."""

    @property
    def keys(self) -> Sequence[str]:
        """All keys that it touches; on a cluster of one slot."""

    @property
    def args(self) -> Sequence[Argument]:
        """What follows the ``run_id``."""

    @property
    def decode(self) -> Callable[[object], T_co]:
        """Reads the reply."""


@dataclass(frozen=True, slots=True)
class _Server:
    """Where and how to connect. The URL stays out of logs: it has the password."""

    host: str
    port: int
    database: int
    credentials: tuple[str, ...]
    tls: ssl.SSLContext | None


class _Connection(asyncio.Protocol):
    """One TCP connection from made to lost, and the calls in flight on it, oldest first."""

    def __init__(self, timeout_s: float, max_pending: int, on_lost: "Callable[[_Connection], None]") -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout_s, self._max_pending, self._on_lost = timeout_s, max_pending, on_lost
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader(protocolError=StoreUnavailable, replyError=_error_of)
        self._waiting: deque[tuple[asyncio.Future[Reply], float]] = deque()
        self._unsent: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._suspect: asyncio.Future[Reply] | None = None
        self.run_id = ""
        self.lost = False
        self.closed = asyncio.Event()

    def send(self, command: bytes) -> asyncio.Future[Reply]:
        """Queue a packed command for this tick's write. The future may be cancelled; its reply is then thrown away.

        Raises:
            StoreUnavailable: too many calls wait already.
        """
        if self.lost or len(self._waiting) >= self._max_pending:
            raise StoreUnavailable(
                "the connection to Valkey is lost" if self.lost else "too many calls wait for Valkey"
            )
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(command)
        future: asyncio.Future[Reply] = self._loop.create_future()
        deadline = self._loop.time() + self._timeout_s
        self._waiting.append((future, deadline))
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._check_oldest)
        return future

    def send_function(self, call: FunctionCall[object]) -> asyncio.Future[Reply]:
        """Queue a run of a function. Raises as :meth:`send`."""
        return self.send(_pack(("FCALL", call.function, len(call.keys), *call.keys, self.run_id, *call.args)))

    def drop(self, reason: str) -> None:
        """Close at once and fail all calls in flight: nobody knows any more which reply would be whose."""
        if self.lost:
            return
        self.lost = True
        if self._transport is not None:
            self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()
        self._unsent.clear()
        for future, _ in self._waiting:
            if not future.done():
                future.set_exception(StoreUnavailable(reason))
        self._waiting.clear()
        self._on_lost(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio."""
        self._transport = cast("asyncio.Transport", transport)
        if self.lost:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio."""
        self.drop(f"Valkey closed the connection ({exc or 'end of file'})")
        self.closed.set()

    def data_received(self, data: bytes) -> None:
        """Hand each complete reply to the caller that has waited longest."""
        self._reader.feed(data)
        try:
            # False means "not complete yet": RESP2 has no boolean that could be mistaken for it.
            while not self.lost and (reply := self._reader.gets()) is not False:
                self._deliver(reply)
        except StoreUnavailable:
            self.drop("Valkey does not speak its protocol")

    def _deliver(self, reply: Reply) -> None:
        if not self._waiting:
            self.drop("Valkey answered what nobody asked")
            return
        future, _ = self._waiting.popleft()
        if future.done():
            return
        if isinstance(reply, LeakyError):
            future.set_exception(reply)
        else:
            future.set_result(reply)

    def _flush(self) -> None:
        if self._unsent and self._transport is not None:
            self._transport.write(b"".join(self._unsent))
            self._unsent.clear()

    def _check_oldest(self) -> None:
        """One timer for all calls: they share one timeout, so the oldest is the first to be late.

        Late calls are looked at twice, with a turn of the loop between. If it was this process that stood still, they
        were written late, or their replies have been lying in the socket: that turn reads them.
        """
        self._timer = None
        if not self._waiting:
            return
        oldest, deadline = self._waiting[0]
        now = self._loop.time()
        if now < deadline:
            self._timer = self._loop.call_at(deadline, self._check_oldest)
        elif oldest is self._suspect:
            self.drop(f"Valkey did not answer within {self._timeout_s * 1000:.0f} ms")
        else:
            self._suspect = oldest
            self._timer = self._loop.call_later(SECOND_LOOK_SECONDS, self._check_oldest)


class Valkey:
    """A client of one server. Made by :meth:`connect`, ended by :meth:`close`."""

    def __init__(self, server: _Server, *, timeout_s: float, connections: int, max_pending: int, library: str) -> None:
        self._server, self._timeout_s, self._max_pending = server, timeout_s, max_pending
        self._wanted = connections
        self._library = library
        self._live: list[_Connection] = []
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
        return self._next().send(_pack(args))

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

    async def _run(self, connection: _Connection, call: FunctionCall[object], asking: bool) -> Reply:  # noqa: FBT001
        if not asking:
            return await connection.send_function(call)
        _, reply = await asyncio.gather(connection.send(_pack(("ASKING",))), connection.send_function(call))
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

    def _next(self) -> _Connection:
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
        connection = _Connection(self._timeout_s, self._max_pending, self._on_lost)
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

    def _on_lost(self, connection: _Connection) -> None:
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


async def _dial(server: _Server, connection: _Connection) -> None:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await loop.create_connection(lambda: connection, server.host, server.port, ssl=server.tls)
    except (OSError, TimeoutError) as error:
        raise StoreUnavailable(f"no connection to Valkey: {error or 'it took too long'}") from error


async def _greet(server: _Server, connection: _Connection) -> str:
    """Log in, choose the database; returns the server's ``run_id``."""
    if server.credentials:
        await connection.send(_pack(("AUTH", *server.credentials)))
    await connection.send(_pack(("SELECT", server.database)))
    info = await connection.send(_pack(("INFO", "server")))
    if connection.lost:
        raise StoreUnavailable("Valkey closed the connection after the greeting")
    text = cast("bytes", info).decode()
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return lines["run_id"]


async def _load(connection: _Connection, library: str) -> None:
    """Give the server the library. Its name has the hash of its text, so one that is there already is the same."""
    try:
        await connection.send(_pack(("FUNCTION", "LOAD", library)))
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


def _error_of(text: str) -> LeakyError:
    """An error reply as an exception: the store's trouble, or a refusal of what we sent."""
    return StoreUnavailable(text) if text.partition(" ")[0] in NOT_NOW else ValkeyReplyError(text)
