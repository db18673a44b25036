"""Latency at a constant rate: an open loop, so that a slow answer delays no later request.

A request's clock starts when it was *due*, not when it was sent: a stall of the subject is suffered by every request
that fell due in it (no coordinated omission). The loop waits in ``select``, whose timeout has microseconds, where the
timers of epoll and libuv round to whole milliseconds: more than what is measured.
"""

import gc
import select
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httptools

CONNECTIONS = 64
MAX_CONNECTIONS = 512
PATIENCE_SECONDS = 5.0
WARM_SECONDS = 0.5


@dataclass(slots=True)
class Paced:
    """What came of one run: latencies since due and lateness of our own sending, in seconds; requests that failed."""

    latencies: list[float] = field(default_factory=list)
    lateness: list[float] = field(default_factory=list)
    failures: int = 0


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0…1) of ``values`` lie; not a number when there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def send_at_rate(port: int, request: bytes, *, rate: float, seconds: float) -> Paced:
    """Send ``request`` ``rate`` times per second for ``seconds``, after half a second that is not counted."""
    with _no_garbage_collection():
        run = _Run(port, request, rate, warm=int(rate * WARM_SECONDS), total=int(rate * (WARM_SECONDS + seconds)))
        try:
            return run.play()
        finally:
            run.close()


class _Connection:
    """A keep-alive connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        self.socket.settimeout(None)  # we ask select first; a timeout would make every call ask again
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = 0
        self.due = 0.0
        self._parser = httptools.HttpResponseParser(self)
        self._complete = False

    def send(self, number: int, due: float, request: bytes) -> None:
        self.number, self.due, self._complete = number, due, False
        self.socket.sendall(request)

    def receive(self) -> int:
        """Take what has arrived: the status when the answer is complete, 0 before, -1 when the server left."""
        data = self.socket.recv(65536)
        if not data:
            return -1
        self._parser.feed_data(data)
        return int(self._parser.get_status_code()) if self._complete else 0

    def on_message_complete(self) -> None:
        self._complete = True


class _Run:
    """One run: what is due, who is idle, who is asked."""

    def __init__(self, port: int, request: bytes, rate: float, *, warm: int, total: int) -> None:
        self._port, self._request, self._interval, self._warm, self._total = port, request, 1 / rate, warm, total
        self._idle = [_Connection(port) for _ in range(CONNECTIONS)]
        self._busy: dict[int, _Connection] = {}
        self._waiting: deque[int] = deque()
        self._paced = Paced()
        self._ended = 0

    def play(self) -> Paced:
        self._start = time.perf_counter()
        released = 0
        give_up = self._start + self._total * self._interval + PATIENCE_SECONDS
        while self._ended < self._total and (now := time.perf_counter()) < give_up:
            due = min(self._total, int((now - self._start) / self._interval) + 1)
            self._waiting.extend(range(released, due))
            released = due
            self._send_waiting()
            next_due = self._start + released * self._interval if released < self._total else give_up
            self._collect(max(0.0, next_due - time.perf_counter()))
        self._paced.failures += self._total - self._ended
        return self._paced

    def close(self) -> None:
        for connection in [*self._idle, *self._busy.values()]:
            with suppress(OSError):
                connection.socket.close()

    def _send_waiting(self) -> None:
        while self._waiting and (connection := self._free_connection()):
            number = self._waiting.popleft()
            due = self._start + number * self._interval
            if number >= self._warm:
                self._paced.lateness.append(time.perf_counter() - due)
            connection.send(number, due, self._request)
            self._busy[connection.socket.fileno()] = connection

    def _free_connection(self) -> _Connection | None:
        if self._idle:
            return self._idle.pop()
        return _Connection(self._port) if len(self._busy) < MAX_CONNECTIONS else None

    def _collect(self, seconds: float) -> None:
        readable, _, _ = select.select(list(self._busy), [], [], seconds)
        for descriptor in readable:
            connection = self._busy[descriptor]
            status = connection.receive()
            if status:
                self._end(descriptor, connection, status)

    def _end(self, descriptor: int, connection: _Connection, status: int) -> None:
        del self._busy[descriptor]
        self._ended += 1
        if status == -1:
            connection.socket.close()
        else:
            self._idle.append(connection)
        if status != 200:
            self._paced.failures += 1
        elif connection.number >= self._warm:
            self._paced.latencies.append(time.perf_counter() - connection.due)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """A collection of ours in the middle would be read as latency of the subject's."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
