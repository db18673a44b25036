"""A provider's event stream on its way to the client: metered, and stripped of the usage that only we asked for.

Bytes are passed on as they came, event by event. When the client did not ask for usage it sees none: the usage event
is dropped and ``"usage": null`` is cut out of the others, because clients index ``choices[0]`` of whatever arrives.
"""

import re

import orjson

from gateway.metering import Completion, read
from gateway.upstream.sse import data_of

DONE = b"[DONE]"

_NULL_USAGE = re.compile(rb',\s*"usage"\s*:\s*null')
"""Inside a JSON string a quote is escaped, so these bytes can only be a member of the object."""


class StreamMeter:
    """Reads each event once. After the stream, :attr:`usage`, :attr:`texts` and :attr:`done` say how it went."""

    __slots__ = ("_client_asked", "done", "failed", "texts", "usage")

    def __init__(self, *, client_asked_usage: bool) -> None:
        self._client_asked = client_asked_usage
        self.done = False
        self.failed = False
        self.usage: object = None
        self.texts: list[tuple[int, str]] = []

    def pass_on(self, event: bytes) -> bytes:
        """What the client gets of ``event``: the same bytes, fewer, or none."""
        data = data_of(event)
        if data is None:
            return event
        if self.done:
            return b""
        if data == DONE:
            self.done = True
            return event
        chunk = read(data)
        if chunk is None:
            self.failed = True
            return b""
        return self._meter(event, chunk)

    def _meter(self, event: bytes, chunk: Completion) -> bytes:
        self.texts += chunk.texts()
        if chunk.error is not None:
            self.failed = True
        if chunk.usage is not None:
            self.usage = chunk.usage
        if self._client_asked:
            return event
        if chunk.usage is None:
            return _NULL_USAGE.sub(b"", event) if b'"usage"' in event else event
        return _without_usage(event) if chunk.choices else b""


def _without_usage(event: bytes) -> bytes:
    """A chunk that carries both choices and a usage: rare, so it is written anew."""
    body = orjson.loads(data_of(event) or b"{}")
    del body["usage"]
    return b"data: " + orjson.dumps(body) + b"\n\n"
