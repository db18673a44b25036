"""A chat completion as server-sent events: one frame, one token; then the faults that alter frames."""

from collections.abc import Iterable, Iterator
from itertools import chain, islice

import orjson

from gateway.stubs import words
from gateway.stubs.delivery import Piece
from gateway.stubs.faults import Faults
from gateway.stubs.openai.chat import FINGERPRINT, ChatCall
from gateway.stubs.openai.errors import SERVER_ERROR

DONE = Piece(b"data: [DONE]\n\n")
ERROR_FRAME = Piece(b"data: %b\n\n" % orjson.dumps({"error": SERVER_ERROR}))

_ROLE = b'{"role":"assistant","content":"","refusal":null}'
_DELTAS = {word: orjson.dumps({"content": word}) for word in words.WORDS + words.WIDE_WORDS}


class Frames:
    """Writes the frames of one completion. ``created`` in Unix seconds."""

    def __init__(self, call: ChatCall, identifier: str, created: int, *, usage_in_last_choice: bool) -> None:
        self._call = call
        self._usage_in_last_choice = usage_in_last_choice and call.usage is not None
        envelope = {
            "id": identifier,
            "object": "chat.completion.chunk",
            "created": created,
            "model": call.model.snapshot,
            "service_tier": "default",
            "system_fingerprint": FINGERPRINT,
        }
        self._begin = b'data: %b,"choices":' % orjson.dumps(envelope)[:-1]
        self._end = b"}\n\n" if call.usage is None else b',"usage":null}\n\n'

    def all(self, empty_deltas: int, usages: int) -> Iterator[Piece]:
        """The whole stream: role, (empty deltas,) tokens, ends of choices, usage (``usages`` times), ``[DONE]``."""
        choices = range(self._call.choices)
        for index in choices:
            yield self._delta(index, _ROLE, tokens=self._call.reasoning)
        for _ in range(empty_deltas):
            yield self._delta(0, b"{}")
        chosen = [words.words(self._call.seed + index, self._call.visible) for index in choices]
        for together in zip(*chosen, strict=True):
            for index, word in enumerate(together):
                yield self._delta(index, _DELTAS[word], tokens=1)
        yield from self._ends()
        if self._call.usage is not None and not self._usage_in_last_choice:
            for _ in range(usages):
                yield self._with_usage(b"[]")
        yield DONE

    def _ends(self) -> Iterator[Piece]:
        reason = orjson.dumps(self._call.finish_reason)
        last = self._call.choices - 1
        for index in range(self._call.choices):
            if self._usage_in_last_choice and index == last:
                yield self._with_usage(_choice(index, b"{}", reason))
            else:
                yield Piece(b"%b%b%b" % (self._begin, _choice(index, b"{}", reason), self._end))

    def _delta(self, index: int, delta: bytes, *, tokens: int = 0) -> Piece:
        return Piece(b"%b%b%b" % (self._begin, _choice(index, delta, b"null"), self._end), tokens)

    def _with_usage(self, choices: bytes) -> Piece:
        usage = self._call.usage
        return Piece(b'%b%b,"usage":%b}\n\n' % (self._begin, choices, orjson.dumps(usage)), usage=usage)


def frames(call: ChatCall, faults: Faults, identifier: str, created: int) -> Iterable[Piece]:
    """The frames of a completion as ``faults`` want them."""
    writer = Frames(call, identifier, created, usage_in_last_choice="usage-in-last-choice" in faults)
    pieces: Iterable[Piece] = writer.all(faults.number("empty-deltas") or 0, 2 if "usage-twice" in faults else 1)
    if (kept := faults.number("truncate")) is not None:
        pieces = islice(pieces, kept)
    if (kept := faults.number("error-frame")) is not None:
        pieces = chain(islice(pieces, kept), [ERROR_FRAME])
    if "duplicate-done" in faults:
        pieces = chain(pieces, [DONE])
    return pieces


def _choice(index: int, delta: bytes, finish_reason: bytes) -> bytes:
    return b'[{"index":%d,"delta":%b,"logprobs":null,"finish_reason":%b}]' % (index, delta, finish_reason)
