"""Many streams open at once: every client reads its stream to the end and then asks for the next one."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import uvloop

from benchmarks import workload

NOMINAL_SECONDS = (workload.CHUNKS - 1) * workload.CHUNK_INTERVAL_MS / 1000
"""From the first chunk, which comes at once, to the last."""

LAST_CHUNK = b"\r\n0\r\n\r\n"
PATIENCE = 4
"""How many times its nominal length a client's sequence of streams may take before it counts as failed."""


@dataclass(slots=True)
class Streamed:
    """What came of one run. ``lengths`` are seconds from request to last byte of each whole stream."""

    lengths: list[float] = field(default_factory=list)
    failures: int = 0
    peak_open: int = 0
    peak_resident_bytes: int = 0
    wall_seconds: float = 0.0

    @property
    def chunks(self) -> int:
        """Timed chunks that arrived in whole streams."""
        return len(self.lengths) * workload.CHUNKS


def open_streams(port: int, request: bytes, *, count: int, repeats: int, resident: Callable[[], int]) -> Streamed:
    """Keep ``count`` streams open, ``repeats`` times over; ``resident()`` is asked for the subject's memory meanwhile.

    The starts are spread over the length of one stream, so that chunks fall evenly in time.
    """
    return uvloop.run(_run(port, request, count, repeats, resident))


class _Client(asyncio.Protocol):
    """One connection that reads ``repeats`` streams one after another."""

    def __init__(self, request: bytes, repeats: int, result: Streamed, gauge: "_Gauge") -> None:
        self.finished = asyncio.get_running_loop().create_future()
        self._request, self.left, self._result, self._gauge = request, repeats, result, gauge
        self._pieces: list[bytes] = []
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if not self.finished.done():
            self._gauge.close()
            self._finish(failures=self.left)

    def ask(self) -> None:
        self._started = time.perf_counter()
        self._gauge.open()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._pieces.append(data)
        self._tail = (self._tail + data)[-len(LAST_CHUNK) :]
        if self._tail == LAST_CHUNK:
            self._end_stream()

    def _end_stream(self) -> None:
        self._gauge.close()
        self.left -= 1
        whole = b"".join(self._pieces)
        self._pieces.clear()
        if _is_complete(whole):
            self._result.lengths.append(time.perf_counter() - self._started)
        else:
            self._result.failures += 1
        if self.left:
            self.ask()
        else:
            self._finish(failures=0)

    def _finish(self, failures: int) -> None:
        self._result.failures += failures
        if not self.finished.done():
            self.finished.set_result(None)
        self._transport.close()


class _Gauge:
    """How many streams are open now, and were at most."""

    def __init__(self) -> None:
        self.now = self.peak = 0

    def open(self) -> None:
        self.now += 1
        self.peak = max(self.peak, self.now)

    def close(self) -> None:
        self.now -= 1


def _is_complete(answer: bytes) -> bool:
    """Every event came, and came once. (No gateway cuts inside the six bytes of ``data: ``.)"""
    return answer.startswith(b"HTTP/1.1 200") and answer.count(b"data: ") == workload.EVENTS_PER_STREAM


async def _run(port: int, request: bytes, count: int, repeats: int, resident: Callable[[], int]) -> Streamed:
    loop = asyncio.get_running_loop()
    result, gauge = Streamed(), _Gauge()
    clients = []
    for _ in range(count):
        _, client = await loop.create_connection(lambda: _Client(request, repeats, result, gauge), "127.0.0.1", port)
        clients.append(client)
    started = time.perf_counter()
    for place, client in enumerate(clients):
        loop.call_later(NOMINAL_SECONDS * place / count, client.ask)
    sampler = asyncio.create_task(_sample(result, resident))
    patience = PATIENCE * NOMINAL_SECONDS * (repeats + 1)
    _, unfinished = await asyncio.wait([client.finished for client in clients], timeout=patience)
    result.wall_seconds = time.perf_counter() - started
    sampler.cancel()
    result.failures += sum(client.left for client in clients if client.finished in unfinished)
    result.peak_open = gauge.peak
    return result


async def _sample(result: Streamed, resident: Callable[[], int]) -> None:
    while True:
        result.peak_resident_bytes = max(result.peak_resident_bytes, resident())
        await asyncio.sleep(0.1)
