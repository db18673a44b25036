"""Sending an answer: the faults of the way that it travels (delays, cuts, resets) are committed here."""

import asyncio
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gateway.stubs.exchange import Exchange
from gateway.stubs.faults import Faults

SLOW_BYTE_MS = 50
LARGEST_PART = 16
_GARBAGE = b"\x16\x03\x01\x02\x00 this is not HTTP \xff\xfe\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a body that is sent at once: an SSE frame, or a whole plain body."""

    data: bytes
    tokens: int = 0
    """Output tokens that the provider has generated for it."""
    usage: object = None
    """The usage that it reports, as it is on the wire."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider answers. A plain answer has its length in its head; a streamed one is chunked."""

    status: int
    headers: list[tuple[bytes, bytes]]
    pieces: Iterable[Piece]
    stream: bool = False
    prompt_tokens: int | None = None


@dataclass(slots=True)
class Delivered:
    """What has been handed to the socket so far."""

    tokens: int = 0
    usage: object = None
    complete: bool = False

    def add(self, piece: Piece) -> None:
        """Take account of a piece that is out."""
        self.tokens += piece.tokens
        self.usage = piece.usage or self.usage


async def deliver(exchange: Exchange, answer: Answer, faults: Faults, delivered: Delivered) -> None:
    """Send ``answer``, committing ``faults`` on the way; ``delivered`` tells, also after an exception, how far it came.

    Raises:
        ClientLeft
    """
    if not faults and not answer.stream:
        await _at_once(exchange, answer, delivered)
        return
    exchange.unbuffer()
    await exchange.pause(faults.delay_ms)
    if "hang" in faults:
        await exchange.hang()
    if "garbage" in faults:
        await exchange.talk_nonsense(_GARBAGE)
    elif faults.number("abort") == 0:
        await exchange.reset()
    else:
        await _piecewise(exchange, answer, faults, delivered)


async def _at_once(exchange: Exchange, answer: Answer, delivered: Delivered) -> None:
    (piece,) = answer.pieces
    await exchange.start(answer.status, [*answer.headers, _length([piece])])
    await exchange.finish(piece.data)
    exchange.chunks = 1
    delivered.add(piece)
    delivered.complete = True


async def _piecewise(exchange: Exchange, answer: Answer, faults: Faults, delivered: Delivered) -> None:
    pieces, headers = answer.pieces, answer.headers
    if not answer.stream:
        pieces = list(pieces)
        headers = headers if "no-content-length" in faults else [*headers, _length(pieces)]
    await exchange.start(answer.status, headers)
    for piece in pieces:
        await exchange.pause(faults.stall_ms(exchange.chunks) + (faults.chunk_delay_ms if exchange.chunks else 0))
        await _write(exchange, piece.data, faults)
        exchange.chunks += 1
        delivered.add(piece)
        if exchange.chunks == faults.number("abort"):
            await exchange.reset()
            return
    await exchange.finish()
    delivered.complete = True


async def _write(exchange: Exchange, data: bytes, faults: Faults) -> None:
    if "slow-bytes" in faults:
        for byte in data:
            await exchange.write(bytes((byte,)))
            await exchange.pause(SLOW_BYTE_MS)
    elif (number := faults.number("split")) is not None:
        for part in _cut(data, random.Random(f"{number} {exchange.chunks}")):  # noqa: S311 - reproducible, not secret
            await exchange.write(part)
            await asyncio.sleep(0)
    else:
        await exchange.write(data)


def _cut(data: bytes, choice: random.Random) -> Iterator[bytes]:
    """Cut into parts of random size, so small that many a cut falls within a character or a line end."""
    begin = 0
    while begin < len(data):
        end = begin + choice.randint(1, LARGEST_PART)
        yield data[begin:end]
        begin = end


def _length(pieces: Iterable[Piece]) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % sum(len(piece.data) for piece in pieces)
