"""Small pure parts around a request: durations, traces, hosts, credentials."""

import pytest

from gateway.errors import ApiError
from gateway.exchange import check_head
from gateway.relay import go_duration
from gateway.trace import Trace

TRACE_ID = b"4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, b"0ms"),
        (12, b"12ms"),
        (1000, b"1s"),
        (1500, b"1.5s"),
        (60_000, b"1m0s"),
        (360_000, b"6m0s"),
        (3_661_000, b"1h1m1s"),
    ],
)
def test_durations_are_written_as_openai_writes_them(ms: int, text: bytes) -> None:
    assert go_duration(ms) == text


def test_a_trace_is_continued_with_a_span_of_ours() -> None:
    trace = Trace.continued(b"00-" + TRACE_ID + b"-00f067aa0ba902b7-01", b"vendor=1")

    assert trace.traceparent().startswith(f"00-{TRACE_ID.decode()}-")
    assert "00f067aa0ba902b7" not in trace.traceparent()
    assert trace.state == b"vendor=1"


@pytest.mark.parametrize(
    "header",
    [None, b"", b"junk", b"ff-" + TRACE_ID + b"-00f067aa0ba902b7-01", b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01"],
)
def test_a_malformed_trace_begins_a_new_one(header: bytes | None) -> None:
    trace = Trace.continued(header, b"vendor=1")

    assert len(trace.trace_id) == 32
    assert trace.trace_id != TRACE_ID.decode()
    assert trace.state is None


@pytest.mark.parametrize("host", [b"x/?", b"a#", b"a@b", b"", b"a b", b"h\xc3\xb6st"])
def test_a_malformed_host_is_refused(host: bytes) -> None:
    with pytest.raises(ApiError) as refusal:
        check_head([(b"host", host)])

    assert (refusal.value.status, refusal.value.code) == (400, "invalid_host")


@pytest.mark.parametrize("headers", [[], [(b"host", b"a"), (b"host", b"b")]])
def test_there_is_exactly_one_host(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(ApiError, match="Host"):
        check_head(headers)


@pytest.mark.parametrize("host", [b"localhost", b"127.0.0.1:8080", b"[::1]:8080", b"api.example.org"])
def test_ordinary_hosts_pass(host: bytes) -> None:
    check_head([(b"host", host)])


def test_a_huge_head_is_refused() -> None:
    for headers in ([(b"x-a", b"a" * 100_000)], [(b"x-a", b"a")] * 5000):
        with pytest.raises(ApiError) as refusal:
            check_head([(b"host", b"a"), *headers])
        assert refusal.value.status == 431
