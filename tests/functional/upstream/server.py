"""A raw TCP server whose every byte a test decides. It is no HTTP server: it can do what none would."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from gateway.upstream.client import Origin


class Peer:
    """One connection, seen from the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: asyncio.Queue[bytes]) -> None:
        self._reader = reader
        self._writer = writer
        self._asked = asked
        self.sent = 0
        self.left = asyncio.Event()

    async def request(self) -> bytes:
        """Read one whole request. Raises ``IncompleteReadError`` or ``ConnectionError`` when the client has left."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        _, found, rest = head.lower().partition(b"\r\ncontent-length: ")
        length = int(rest.split(b"\r\n", 1)[0]) if found else 0
        request = head + await self._reader.readexactly(length)
        self._asked.put_nowait(request)
        return request

    async def send(self, *pieces: bytes) -> None:
        """Send, each piece waiting until the client's side has room."""
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()
            self.sent += len(piece)

    async def watch(self) -> None:
        """Read until the client has closed."""
        while await self._reader.read(65536):
            pass

    def close(self) -> None:
        """Close in good order (FIN)."""
        self._writer.close()

    def reset(self) -> None:
        """Close rudely (RST, where bytes of the client's are unread)."""
        self._writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


class RawServer:
    """Listens on loopback and runs ``script`` once per connection. Keeps what was asked and who has left."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self.peers: list[Peer] = []
        self.asked: asyncio.Queue[bytes] = asyncio.Queue()
        self.departed: asyncio.Queue[Peer] = asyncio.Queue()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls, backlog=2048)
        port = self._server.sockets[0].getsockname()[1]
        self.origin = Origin("https" if self._tls else "http", "127.0.0.1", port)

    @property
    def accepted(self) -> int:
        return len(self.peers)

    async def stop(self) -> None:
        self._server.close()
        for peer in self.peers:
            peer.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer, self.asked)
        self.peers.append(peer)
        task = asyncio.ensure_future(self._run(peer))
        self._tasks.add(task)

    async def _run(self, peer: Peer) -> None:
        try:
            await self._script(peer)
            await peer.watch()
        except (asyncio.IncompleteReadError, ConnectionError):
            peer.close()  # The client has left, which every script allows.
        finally:
            peer.left.set()
            self.departed.put_nowait(peer)


def answering(*pieces: bytes) -> Script:
    """Answer every request on a connection with the same bytes, piece by piece."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(*pieces)

    return script


def answering_once(*pieces: bytes) -> Script:
    """Answer one request, then close the connection in good order."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*pieces)
        peer.close()

    return script


def ok(body: bytes, *headers: bytes) -> bytes:
    """Write a plain answer."""
    head = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 200 OK\r\n" + head + b"content-length: %d\r\n\r\n" % len(body) + body


def chunk(data: bytes) -> bytes:
    """Write one chunk; the empty one is the last."""
    return b"%x\r\n%b\r\n" % (len(data), data)


CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
