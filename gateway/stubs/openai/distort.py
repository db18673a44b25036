"""Faults in the bytes of an answer, committed before it is sent."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from gateway.stubs.delivery import Answer, Piece
from gateway.stubs.faults import Faults

_CONTENT = b'"content":" '
_NOT_UTF8 = b'"content":" \xff\xc3('
_CUT_IN_HALVES = ("truncate", "abort", "stall")


def distorted(answer: Answer, faults: Faults) -> Answer:
    """``answer`` with the ordered faults in its bytes. A plain body counts as two chunks, its halves."""
    pieces = answer.pieces
    if not answer.stream and any(name in faults for name in _CUT_IN_HALVES):
        pieces = islice(_halves(*pieces), faults.number("truncate"))
    if "invalid-utf8" in faults:
        pieces = _replaced(pieces, _CONTENT, _NOT_UTF8)
    if "crlf" in faults:
        pieces = _replaced(pieces, b"\n", b"\r\n")
    return answer if pieces is answer.pieces else replace(answer, pieces=pieces)


def _halves(piece: Piece) -> Iterator[Piece]:
    """The whole plain answer has been generated when its first byte leaves; its usage is told at its end."""
    middle = len(piece.data) // 2
    yield Piece(piece.data[:middle], piece.tokens)
    yield Piece(piece.data[middle:], usage=piece.usage)


def _replaced(pieces: Iterable[Piece], old: bytes, new: bytes) -> Iterator[Piece]:
    return (replace(piece, data=piece.data.replace(old, new)) for piece in pieces)
