"""Answers that come instead of the one that was asked for."""

import zlib
from collections.abc import Iterator
from functools import lru_cache

import orjson

from gateway.stubs.delivery import Answer, Piece
from gateway.stubs.faults import Faults
from gateway.stubs.openai import heads
from gateway.stubs.openai.errors import SERVER_ERROR, ApiError
from gateway.stubs.openai.stream import DONE

MEBIBYTE = 1024 * 1024
DEFAULT_MEBIBYTES = 100
ELSEWHERE = "http://127.0.0.2:9/elsewhere"

_RATE_LIMITED = {
    "message": "Rate limit reached for requests. Please try again later.",
    "type": "requests",
    "param": None,
    "code": "rate_limit_exceeded",
}
_OUT_OF_QUOTA = ApiError(
    429,
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "read the docs: https://help.aliyun.com/zh/model-studio/error-code#token-limit.",
    kind="insufficient_quota",
    code="insufficient_quota",
)
_PAGE = b"<!DOCTYPE html><html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>"


def instead(faults: Faults, *, stream: bool) -> Answer | None:
    """The answer that replaces the proper one; ``None`` when no such fault is ordered."""
    return _refusal(faults) or _strange_page(faults) or _strange_body(faults, stream=stream)


def _refusal(faults: Faults) -> Answer | None:
    if (status := faults.number("status")) is not None:
        wait = faults.number("retry-after")
        error = _RATE_LIMITED if status == 429 else SERVER_ERROR
        headers = heads.limits(0) if status == 429 else []
        headers += [] if wait is None else [(b"retry-after", b"%d" % wait)]
        return _json(status, orjson.dumps({"error": error}), headers)
    if "insufficient-quota" in faults:
        return _json(429, _OUT_OF_QUOTA.body(), [])
    return None


def _strange_page(faults: Faults) -> Answer | None:
    if "redirect" in faults:
        headers = [*heads.common(heads.HTML, 0), (b"location", (faults.ordered["redirect"] or ELSEWHERE).encode())]
        return Answer(302, headers, [Piece(b"")])
    if "html" in faults:
        return Answer(200, heads.common(heads.HTML, 0), [Piece(_PAGE)])
    return None


def _strange_body(faults: Faults, *, stream: bool) -> Answer | None:
    if "bad-json" in faults:
        return _body(b'{"id":"chatcmpl-1","choices":[{"ind', stream=stream)
    if "empty-object" in faults:
        return _body(b"{}", stream=stream)
    if (size := faults.number("endless-line", DEFAULT_MEBIBYTES)) is not None:
        return Answer(200, heads.common(_content_type(stream=stream), 0), _endless(size, stream=stream), stream=True)
    if (size := faults.number("gzip-bomb", DEFAULT_MEBIBYTES)) is not None:
        headers = [*heads.common(_content_type(stream=stream), 0), (b"content-encoding", b"gzip")]
        return Answer(200, headers, [Piece(_bomb(size))])
    return None


def _json(status: int, body: bytes, headers: heads.Headers) -> Answer:
    return Answer(status, heads.common(heads.JSON, 0) + headers, [Piece(body)])


def _body(data: bytes, *, stream: bool) -> Answer:
    if stream:
        return Answer(200, heads.common(heads.EVENTS, 0), [Piece(b"data: %b\n\n" % data), DONE], stream=True)
    return _json(200, data, [])


def _content_type(*, stream: bool) -> tuple[bytes, bytes]:
    return heads.EVENTS if stream else heads.JSON


def _endless(mebibytes: int, *, stream: bool) -> Iterator[Piece]:
    yield Piece(b'data: {"id":"' if stream else b'{"id":"')
    block = Piece(b"a" * MEBIBYTE)
    for _ in range(mebibytes):
        yield block


@lru_cache(maxsize=2)
def _bomb(mebibytes: int) -> bytes:
    """``mebibytes`` of blanks, gzipped to about a thousandth."""
    squeeze = zlib.compressobj(level=1, wbits=31)
    block = b" " * MEBIBYTE
    return b"".join([*(squeeze.compress(block) for _ in range(mebibytes)), squeeze.flush()])
