"""A provider's event stream on its way to the client: metered, and stripped of the usage that only we asked for.

Bytes are passed on as they came, event by event. When the client did not ask for usage it sees none: the usage event
is dropped and ``"usage": null`` is cut out of the others, because clients index ``choices[0]`` of whatever arrives.
"""

import re

import orjson

from apps.core.units import Usage
from gateway.metering import CONTRADICTORY, Completion, joined, read
from gateway.upstream.sse import data_of

DONE = b"[DONE]"
MOST_PIECES = 16
"""Of generated text, before they are joined: a word costs a hundred bytes on its own, and thousands of streams wait."""

_NULL_USAGE = re.compile(rb',\s*"usage"\s*:\s*null')
"""Inside a JSON string a quote is escaped, so these bytes can only be a member of the object."""


class StreamMeter:
    """Reads each event once. After the stream, :attr:`usage`, :attr:`texts` and :attr:`done` say how it went.

    ``began`` is set once an event was part of an answer; until then the provider has not answered at all. ``size`` is
    the generated text's in bytes.
    """

    __slots__ = (
        "_client_asked", "_ended", "_joined", "_latest", "_total", "began", "done", "failed", "size", "texts", "usage",
    )  # fmt: skip

    def __init__(self, *, client_asked_usage: bool) -> None:
        self._client_asked = client_asked_usage
        self._total: object = None
        self._joined = 0
        self._latest = b""
        self._ended: set[int] = set()
        self.size = 0
        self.began = False
        self.done = False
        self.failed = False
        self.usage: object = None
        self.texts: list[tuple[int, str]] = []

    def pass_on(self, event: bytes) -> bytes:
        """What the client gets of ``event``: the same bytes, fewer, or none."""
        data = data_of(event)
        if data is None:
            return event
        if self.done or self.failed:
            return b""
        if data == DONE:
            self.done = True
            return event
        chunk = read(data)
        if chunk is None or chunk.error is not None or (chunk.choices is None and chunk.usage is None):
            self.failed = True
            return b""
        self.began = True
        return self._meter(event, chunk)

    def _meter(self, event: bytes, chunk: Completion) -> bytes:
        self._take_texts(event, chunk)
        if len(self.texts) - self._joined >= MOST_PIECES:
            self.texts[self._joined :] = joined(self.texts[self._joined :])
            self._joined = len(self.texts)
        if chunk.usage is not None:
            self._take(chunk)
        if self._client_asked:
            return event
        if chunk.usage is None:
            return _NULL_USAGE.sub(b"", event) if b'"usage"' in event else event
        return _without_usage(event) if chunk.choices else b""

    def _take_texts(self, event: bytes, chunk: Completion) -> None:
        for choice in chunk.choices or ():
            self._latest = event
            if choice.finish_reason is not None:
                self._ended.add(choice.index)
        texts = chunk.texts()
        self.texts += texts
        self.size += sum(len(piece.encode()) for _, piece in texts)

    def cut_short(self, usage: Usage) -> bytes:
        """The events of a proper end, for a stream that ends before the provider's: ``finish_reason`` "length"."""
        self.done = True
        latest = orjson.loads(data_of(self._latest) or b"{}")
        head = {name: latest[name] for name in ("id", "object", "created", "model") if name in latest}
        open_choices = sorted({index for index, _ in self.texts} - self._ended)
        ends = [{"index": index, "delta": {}, "finish_reason": "length"} for index in open_choices]
        chunks = [{**head, "choices": ends}] if ends else []
        if self._client_asked:
            chunks.append({**head, "choices": [], "usage": _reported(usage)})
        return b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks) + b"data: " + DONE + b"\n\n"

    def _take(self, chunk: Completion) -> None:
        """The last usage counts; but a total (a usage without choices) that another total denies is no usage at all."""
        contradicts = self._total is not None and chunk.usage != self._total
        self.usage = CONTRADICTORY if contradicts else chunk.usage
        if not chunk.choices and self._total is None:
            self._total = chunk.usage


def _reported(usage: Usage) -> dict[str, int]:
    total = usage.input + usage.output
    return {"prompt_tokens": usage.input, "completion_tokens": usage.output, "total_tokens": total}


def _without_usage(event: bytes) -> bytes:
    """A chunk that carries both choices and a usage: rare, so it is written anew."""
    body = orjson.loads(data_of(event) or b"{}")
    del body["usage"]
    return b"data: " + orjson.dumps(body) + b"\n\n"
