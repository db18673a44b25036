"""One request and its answer on a client's connection: counts what leaves, and notices at once when the client does."""

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ClientLeft(Exception):
    """The client closed its connection before the answer's end."""


class Exchange:
    """Reads one request, writes its answer.

    The counters say what was handed to the socket: with :meth:`unbuffer` on, nothing waits in this process but the
    last write.
    """

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.status: int | None = None
        self.chunks = 0
        self.bytes = 0
        self.left_ms: float | None = None
        """Milliseconds from the last write (or the request's end) until the client was seen to have left."""
        self._transport: asyncio.Transport = scope["state"]["transport"]
        self._receive = receive
        self._send = send
        self._watcher: asyncio.Task[None] | None = None
        self._over = False
        self._clock = asyncio.get_running_loop().time
        self._last_write = self._clock()

    async def body(self) -> bytes:
        """The request's body.

        Raises:
            ClientLeft: before it was complete.
        """
        parts = []
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            parts.append(message["body"])
            if not message["more_body"]:
                return parts[0] if len(parts) == 1 else b"".join(parts)

    async def pause(self, milliseconds: int) -> None:
        """Let time pass, at least one turn of the event loop.

        Raises:
            ClientLeft: meanwhile.
        """
        watcher = self._watch()
        if milliseconds:
            await asyncio.wait({watcher}, timeout=milliseconds / 1000)
        else:
            await asyncio.sleep(0)
        if watcher.done():
            raise ClientLeft

    async def hang(self) -> None:
        """Wait for the client to leave.

        Raises:
            ClientLeft: always.
        """
        await self._watch()
        raise ClientLeft

    def unbuffer(self) -> None:
        """Let no write wait in this process: what the kernel does not take at once blocks the next write."""
        self._transport.set_write_buffer_limits(high=0)

    async def start(self, status: int, headers: Headers) -> None:
        """Write the answer's head."""
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        self._last_write = self._clock()

    async def write(self, data: bytes) -> None:
        """Write a piece of the body.

        Raises:
            ClientLeft: it was not taken.
        """
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        if self._transport.is_closing():
            await self.hang()
        self._wrote(data)

    async def finish(self, data: bytes = b"") -> None:
        """Write the last piece of the body and end it properly."""
        self._over = True
        await self._send({"type": "http.response.body", "body": data})
        self._wrote(data)
        self._transport.set_write_buffer_limits()

    async def reset(self) -> None:
        """End the connection by a TCP reset, as a crashed peer does."""
        self._over = True
        descriptor = os.dup(self._transport.get_extra_info("socket").fileno())
        with socket.socket(fileno=descriptor) as shared:
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()
        await self._watch()

    async def talk_nonsense(self, data: bytes) -> None:
        """Write bytes that are no HTTP, and close."""
        self._over = True
        self._transport.write(data)
        self._wrote(data)
        self._transport.close()
        await self._watch()

    def close(self) -> None:
        """Stop watching the client."""
        self._over = True
        if self._watcher is not None:
            self._watcher.cancel()

    def _wrote(self, data: bytes) -> None:
        self.bytes += len(data)
        self._last_write = self._clock()

    def _watch(self) -> asyncio.Task[None]:
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._await_departure())
        return self._watcher

    async def _await_departure(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            continue
        if not self._over:
            self.left_ms = round((self._clock() - self._last_write) * 1000, 3)
