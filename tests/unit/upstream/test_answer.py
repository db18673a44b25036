"""The framing of answers without sockets: every case cut at every place."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.upstream.answer import Answer
from gateway.upstream.client import Limits, UpstreamBroken

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

GOOD = {
    "length": (OK + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    "nothing": (OK + b"Content-Length: 0\r\n\r\n", b""),
    "chunked": (CHUNKED + b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", b"hello!"),
    "extension and trailer": (CHUNKED + b"5;a=b\r\nhello\r\n0\r\nX-Late: 9\r\n\r\n", b"hello"),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok", b"ok"),
    "hints": (b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok", b"ok"),
    "no content": (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", b""),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
    "identity": (OK + b"Content-Encoding: identity\r\nContent-Length: 2\r\n\r\nok", b"ok"),
}
UNTIL_CLOSE = {
    "1.1": (OK + b"\r\nhello", b"hello"),
    "1.0": (b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello"),
    "empty": (OK + b"\r\n", b""),
}
BAD = {
    "two framings": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two framings, other order": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
    "two lengths": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "one length twice": OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
    "negative length": OK + b"Content-Length: -5\r\n\r\n",
    "signed length": OK + b"Content-Length: +5\r\n\r\n",
    "list of lengths": OK + b"Content-Length: 5, 5\r\n\r\n",
    "enormous length": OK + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "unknown coding": OK + b"Transfer-Encoding: gzip\r\n\r\n",
    "two codings": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "chunked in the middle": OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n",
    "chunked twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunk size": CHUNKED + b"zz\r\n",
    "negative chunk": CHUNKED + b"-5\r\n",
    "length among the trailers": CHUNKED + b"0\r\nContent-Length: 9\r\n\r\n",
    "chunk without its end": CHUNKED + b"5\r\nhelloX",
    "compressed": OK + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\n",
    "upgrade": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    "status too small": b"HTTP/1.1 099 Odd\r\nContent-Length: 5\r\n\r\n",
    "status too large": b"HTTP/1.1 600 Odd\r\nContent-Length: 5\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\n",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 5\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 5\n\n",
    "folded header": OK + b"X: a\r\n b\r\n\r\n",
    "space before colon": OK + b"X : a\r\n\r\n",
    "NUL in a header": OK + b"X: a\0b\r\n\r\n",
}


def _fed(stream: bytes, places: list[int], limits: Limits | None = None) -> Answer:
    answer = Answer(limits or Limits())
    bounds = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    for begin, end in itertools.pairwise(bounds):
        answer.feed(stream[begin:end])
    return answer


@settings(deadline=None)
@given(st.sampled_from(list(GOOD.values())), st.lists(st.integers(0, 1000), max_size=8))
def test_a_framed_answer_ends_where_it_says(case: tuple[bytes, bytes], places: list[int]) -> None:
    stream, body = case
    answer = _fed(stream, places)
    assert answer.is_complete
    assert answer.keep_alive
    assert answer.take() == body


@settings(deadline=None)
@given(st.sampled_from(list(GOOD.values())), st.integers(0, 1000))
def test_a_framed_answer_that_is_cut_off_never_ends_properly(case: tuple[bytes, bytes], place: int) -> None:
    stream, _ = case
    answer = _fed(stream[: place % len(stream)], [])
    assert not answer.is_complete
    with pytest.raises(UpstreamBroken):
        answer.end()
    assert not answer.is_complete


@pytest.mark.parametrize(("stream", "body"), UNTIL_CLOSE.values(), ids=UNTIL_CLOSE)
def test_an_unframed_answer_ends_with_its_connection(stream: bytes, body: bytes) -> None:
    answer = _fed(stream, list(range(len(stream))))
    assert not answer.is_complete
    answer.end()
    assert answer.is_complete
    assert not answer.keep_alive
    assert answer.take() == body


@pytest.mark.parametrize("stream", BAD.values(), ids=BAD)
def test_an_ambiguous_answer_is_none(stream: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        _fed(stream, [])
    with pytest.raises(UpstreamBroken):
        _fed(stream, list(range(len(stream))))


def test_an_answer_without_body_may_still_tell_its_length() -> None:
    answer = Answer(Limits(), has_body=False)
    answer.feed(OK + b"Content-Length: 5\r\n\r\n")
    assert answer.is_complete
    assert answer.keep_alive
    answer.feed(b"hello")
    assert not answer.keep_alive
    assert answer.take() == b""


@pytest.mark.parametrize("surplus", [b"x", OK, OK + b"X: y\r\nContent-Length: 0\r\n\r\n", b"\0"])
def test_bytes_after_the_end_are_dropped_and_end_the_connection(surplus: bytes) -> None:
    answer = _fed(OK + b"Content-Length: 2\r\n\r\nok" + surplus, [])
    assert answer.take() == b"ok"
    assert answer.headers == [(b"content-length", b"2")]
    assert not answer.keep_alive


def test_headers_are_lower_case_trimmed_and_in_order() -> None:
    answer = _fed(OK + b"B: 1\r\nA: \t2 \r\nb: 3\r\nContent-Length: 0\r\n\r\n", [])
    assert answer.headers == [(b"b", b"1"), (b"a", b"2"), (b"b", b"3"), (b"content-length", b"0")]


def test_trailers_and_interim_headers_are_not_headers() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\nLink: a\r\n\r\n"
    answer = _fed(interim + CHUNKED + b"0\r\nX-Late: 1\r\n\r\n", [])
    assert answer.headers == [(b"transfer-encoding", b"chunked")]


@pytest.mark.parametrize(
    "stream",
    [
        OK + b"X: " + b"x" * 2000,
        OK + b"X: y\r\n" * 400,
        OK + b"X: y\r\n" * 400 + b"Content-Length: 2\r\n\r\nok",
        OK[:-2] + b"!" * 2000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
        CHUNKED + b"1;" + b"x" * 2000,
        CHUNKED + b"1\r\na\r\n0\r\n" + b"X: y\r\n" * 400,
        CHUNKED + b"1\r\na\r\n0\r\nX: " + b"y" * 20_000,
    ],
    ids=["value", "headers", "headers with body", "reason", "interim", "extension", "trailers", "trailer"],
)
@pytest.mark.parametrize("step", [1, 100, 10_000])
def test_no_part_of_the_framing_is_endless(stream: bytes, step: int) -> None:
    with pytest.raises(UpstreamBroken, match="cap"):
        _fed(stream, list(range(0, len(stream), step)), Limits(head_bytes=1000))


def test_the_body_is_counted_as_it_arrives() -> None:
    limits = Limits(body_bytes=10)
    assert _fed(CHUNKED + b"a\r\n0123456789\r\n0\r\n\r\n", [], limits).is_complete
    with pytest.raises(UpstreamBroken, match="cap"):
        _fed(CHUNKED + b"a\r\n0123456789\r\n1\r\n!\r\n0\r\n\r\n", [], limits)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"timeout=5, max=100", 5), (b"max=3,Timeout=7", 7), (b"timeout=x", float("inf")), (b"", float("inf"))],
)
def test_the_servers_patience_is_read(value: bytes, seconds: float) -> None:
    answer = _fed(OK + b"Keep-Alive: " + value + b"\r\nContent-Length: 0\r\n\r\n", [])
    assert answer.keep_alive_seconds == seconds
