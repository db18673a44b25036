"""One connection to Valkey: commands of a loop tick in one write, replies in the order of the commands.

A reply must never reach the wrong caller, so a connection that is late, broken or talks nonsense is dropped with all
that wait on it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, TypeVar, cast

import hiredis

from apps.core.errors import LeakyError, StoreUnavailable

Argument: TypeAlias = bytes | str | int
Reply: TypeAlias = "bytes | int | list[Reply] | LeakyError | None"
"""What Valkey answers. An error can only be a part of a list; on its own it is raised."""

T_co = TypeVar("T_co", covariant=True)

pack = cast("Callable[[tuple[Argument, ...]], bytes]", hiredis.pack_command)

MOST_UNSENT = 8
"""Commands that wait for the end of the tick; with so many Valkey may begin, while we make the next ones."""

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


class Connection(asyncio.Protocol):
    """One TCP connection from made to lost, and the calls in flight on it, oldest first."""

    def __init__(self, timeout_s: float, max_pending: int, on_lost: "Callable[[Connection], None]") -> None:
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
        if len(self._unsent) >= MOST_UNSENT:
            self._flush()
        future: asyncio.Future[Reply] = self._loop.create_future()
        deadline = self._loop.time() + self._timeout_s
        self._waiting.append((future, deadline))
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._check_oldest)
        return future

    def send_function(self, call: FunctionCall[object]) -> asyncio.Future[Reply]:
        """Queue a run of a function. Raises as :meth:`send`."""
        return self.send(pack(("FCALL", call.function, len(call.keys), *call.keys, self.run_id, *call.args)))

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


def _error_of(text: str) -> LeakyError:
    """An error reply as an exception: the store's trouble, or a refusal of what we sent."""
    return StoreUnavailable(text) if text.partition(" ")[0] in NOT_NOW else ValkeyReplyError(text)
