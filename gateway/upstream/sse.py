"""Cuts a stream of server-sent events into events without changing a byte.

An event is the shortest run of bytes that ends with two line ends in a row, each of them LF, CR LF or CR. What comes
out, put together again, is what went in; and where the pieces were cut on their way has no influence on it.
"""

import re

from gateway.upstream.client import UpstreamBroken

LINE_BYTES = 1024 * 1024
EVENT_BYTES = 4 * 1024 * 1024

# A CR before LF is half of a line end, never one of its own: else one CR LF would look like a blank line.
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
_LONGEST_BLANK_LINE = 4
_CR = 0x0D
_SHORT_TAIL = 4096
"""Up to this, a tail is looked at again with what follows, which is fast. Beyond it, tiny pieces would make it slow."""


class EventSplitter:
    """One per stream."""

    __slots__ = ("_line_start", "_tail")

    def __init__(self) -> None:
        self._tail = bytearray()
        self._line_start = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take a piece of the stream; give the events that it completes, with their terminators.

        An event that ends in CR is held until the next byte, which may be the LF that belongs to it.

        Raises:
            UpstreamBroken: a line beyond :data:`LINE_BYTES` or an event beyond :data:`EVENT_BYTES`.
        """
        if 0 < len(self._tail) <= _SHORT_TAIL:
            data = bytes(self._tail) + data
            self._tail.clear()
            self._line_start = 0
        terminator = None if self._tail else _only_terminator(data)
        if terminator is None:
            return self._feed_mixed(data)
        *events, rest = data.split(terminator)
        if rest:
            self._keep(rest)
            self._check_tail()
        if len(data) > LINE_BYTES:
            for event in events:
                _check(event)
        return [event + terminator for event in events]

    def tail(self) -> bytes:
        """Give what has not become an event. At the end of the stream that is an event which was cut off, or nothing.

        After CR line ends it may be a whole event: :func:`data_of` reads it like any other.
        """
        return bytes(self._tail)

    def _feed_mixed(self, data: bytes) -> list[bytes]:
        """Find blank lines of any kind, beginning where one may have been cut in two."""
        events = []
        search_from = max(0, len(self._tail) - _LONGEST_BLANK_LINE + 1)
        buffer, begin = self._tail, 0
        self._keep(data)
        while (match := _BLANK_LINE.search(buffer, search_from)) is not None:
            end = match.end()
            if end == len(buffer) and buffer[-1] == _CR:
                break
            events.append(bytes(buffer[begin:end]))
            _check(events[-1])
            begin = search_from = end
        del buffer[:begin]
        self._line_start -= begin
        self._check_tail()
        return events

    def _keep(self, data: bytes) -> None:
        """Add to the tail. Where its last line begins is remembered, so that long tails are not searched again."""
        newest = max(data.rfind(b"\n"), data.rfind(b"\r"))
        if newest >= 0:
            self._line_start = len(self._tail) + newest + 1
        self._tail += data

    def _check_tail(self) -> None:
        _check_sizes(len(self._tail), len(self._tail) - self._line_start)


def data_of(event: bytes) -> bytes | None:
    """Give an event's data: its ``data`` lines joined by LF, without the one space after the colon. None: it has none.

    Comments and other fields are passed over.
    """
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and b"\r" not in event:
        return event[6:-2]
    values = [_value(line) for line in event.splitlines() if line == b"data" or line.startswith(b"data:")]
    return b"\n".join(values) if values else None


def _value(line: bytes) -> bytes:
    return line[5:].removeprefix(b" ")


def _only_terminator(data: bytes) -> bytes | None:
    """Give the blank line that ends every event in ``data``, when all of its line ends are of one kind; else None."""
    returns = data.count(b"\r")
    if not returns:
        return b"\n\n"
    return b"\r\n\r\n" if returns == data.count(b"\r\n") == data.count(b"\n") else None


def _check(event: bytes) -> None:
    longest = max(map(len, event.splitlines()), default=0) if len(event) > LINE_BYTES else 0
    _check_sizes(len(event), longest)


def _check_sizes(event_bytes: int, line_bytes: int) -> None:
    if event_bytes > EVENT_BYTES:
        raise UpstreamBroken("an event exceeds its cap")
    if line_bytes > LINE_BYTES:
        raise UpstreamBroken("a line of an event exceeds its cap")
