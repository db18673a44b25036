"""The streaming half of the stub: ``python -m benchmarks.sse_stub PORT`` answers every POST with the same timed stream.

It must cost far less than what it measures: the chunks are encoded once, and one timer of a millisecond serves all
streams from a wheel instead of one timer per stream.
"""

import asyncio
import sys
from typing import cast

import uvloop

from benchmarks import workload

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
HEALTH = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def framed(piece: bytes) -> bytes:
    """One chunk of the chunked transfer coding."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


_pieces = [framed(piece) for piece in workload.stream_chunks()]
PIECES = [HEAD + _pieces[0], *_pieces[1:-1], _pieces[-1] + END]


class Wheel:
    """All open streams by the millisecond of the interval in which their next chunk is due.

    A late tick serves every slot that it missed, so that streams keep their schedule and never drift.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: list[list[StubConnection]] = [[] for _ in range(workload.CHUNK_INTERVAL_MS)]
        self._next = self._now()
        self._tick()

    def add(self, stream: "StubConnection") -> None:
        """Serve ``stream`` once per interval, first when the slot that was served last comes round again."""
        self._slots[(self._next - 1) % len(self._slots)].append(stream)

    def _now(self) -> int:
        return int(self._loop.time() * 1000)

    def _tick(self) -> None:
        now = self._now()
        for due in range(self._next, now):
            slot = due % len(self._slots)
            self._slots[slot] = [stream for stream in self._slots[slot] if stream.send_next()]
        self._next = max(self._next, now)
        self._loop.call_later(0.001, self._tick)


class StubConnection(asyncio.Protocol):
    """One keep-alive connection of a client: reads a request whole, then streams."""

    def __init__(self, wheel: Wheel) -> None:
        self._wheel = wheel
        self._received = b""
        self._sent = 0
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The wheel drops the stream when it comes round."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Answer when head and body are complete."""
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or len(body) < _content_length(head):
            return
        self._received = b""
        if head.startswith(b"GET"):
            self._write(HEALTH)
            return
        self._sent = 0
        self.send_next()
        self._wheel.add(self)

    def send_next(self) -> bool:
        """Write the next chunk; False when the stream has ended or its client has left."""
        if self._transport is None:
            return False
        self._write(PIECES[self._sent])
        self._sent += 1
        return self._sent < len(PIECES)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop)
    server = await loop.create_server(lambda: StubConnection(wheel), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
