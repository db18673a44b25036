"""Whatever the cuts: no byte is lost or changed, and the events are the same."""

import itertools
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.upstream.client import UpstreamBroken
from gateway.upstream.sse import EVENT_BYTES, LINE_BYTES, EventSplitter, data_of

LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
LINES = st.one_of(
    st.text(alphabet="aé€😀 ", max_size=6).map(lambda text: b"data: " + text.encode()),
    st.sampled_from([b"", b"data", b"data:", b"data:x", b": ping", b"event: error", b"id: 7"]),
    st.binary(max_size=4),
)
STREAMS = st.one_of(
    st.lists(st.tuples(LINES, LINE_ENDS)).map(lambda lines: b"".join(line + end for line, end in lines)),
    st.lists(st.sampled_from([b"data: a\n\n", b"data: \xe2\x82\xac\r\n\r\n", b"\r", b"\n", b"x"])).map(b"".join),
)


def _fed(pieces: list[bytes]) -> tuple[list[bytes], bytes]:
    splitter = EventSplitter()
    events = [event for piece in pieces for event in splitter.feed(piece)]
    return events, splitter.tail()


def _cut(stream: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(places), len(stream)]
    return [stream[begin:end] for begin, end in itertools.pairwise(bounds)]


# 1,000 streams, each cut in 10 random ways: 10,000 random splits.
@settings(max_examples=1_000, deadline=None)
@given(STREAMS, st.randoms(use_true_random=False))
def test_cuts_change_nothing(stream: bytes, random: Random) -> None:
    events, tail = _fed([stream])
    assert b"".join(events) + tail == stream

    assert (events, tail) == _fed([stream[place : place + 1] for place in range(len(stream))])
    for _ in range(10):
        places = [random.randrange(len(stream) + 1) for _ in range(random.randrange(8))]
        assert (events, tail) == _fed(_cut(stream, places))


@pytest.mark.parametrize(
    ("stream", "events", "tail"),
    [
        (b"data: a\n\ndata: b\n\n", [b"data: a\n\n", b"data: b\n\n"], b""),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"data: a\r\n\r\n", b"data: b\r\n\r\n"], b""),
        (b"data: a\r\rdata: b\r\r", [b"data: a\r\r"], b"data: b\r\r"),
        (b"data: a\n\r\ndata: b\r\n\n", [b"data: a\n\r\n", b"data: b\r\n\n"], b""),
        (b"data: a\r\ndata: b\r\n\r\nid", [b"data: a\r\ndata: b\r\n\r\n"], b"id"),
        (b": ping\n\ndata: [DONE]\n", [b": ping\n\n"], b"data: [DONE]\n"),
        (b"data: a\n\n\ndata: b\n\n", [b"data: a\n\n", b"\ndata: b\n\n"], b""),
    ],
)
def test_events_end_at_blank_lines_of_any_kind(stream: bytes, events: list[bytes], tail: bytes) -> None:
    assert _fed([stream]) == (events, tail)


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b'data: {"a":1}\n\n', b'{"a":1}'),
        (b'data:{"a":1}\n\n', b'{"a":1}'),
        (b"data:  two\r\n\r\n", b" two"),
        (b"data: [DONE]\r\r", b"[DONE]"),
        (b"event: error\ndata: a\ndata:b\n\n", b"a\nb"),
        (b": ping\n\n", None),
        (b"\ndata: a\n\n", b"a"),
        (b"data\n\n", b""),
        (b"database: no\n\n", None),
        (b"data: cut off", b"cut off"),
    ],
)
def test_data_is_what_the_data_lines_say(event: bytes, data: bytes | None) -> None:
    assert data_of(event) == data


@pytest.mark.parametrize("piece_bytes", [1024, 64 * 1024, 8 * 1024 * 1024])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_an_endless_line_is_cut_at_its_cap(piece_bytes: int, line_end: bytes) -> None:
    stream = b"data: a" + line_end + b"x" * (LINE_BYTES + 1)
    with pytest.raises(UpstreamBroken):
        _fed([stream[place : place + piece_bytes] for place in range(0, len(stream), piece_bytes)])


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_an_endless_event_is_cut_at_its_cap(line_end: bytes) -> None:
    line = b"data: " + b"x" * 1000 + line_end
    with pytest.raises(UpstreamBroken):
        _fed([line] * (EVENT_BYTES // len(line) + 2))


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_what_is_just_within_the_caps_passes(line_end: bytes) -> None:
    event = (b"x" * LINE_BYTES + line_end) * 3 + b"data: y" + line_end * 2
    events, _ = _fed([event, b"data: next"])
    assert events == [event]


def test_a_long_line_inside_a_finished_event_is_refused_too() -> None:
    with pytest.raises(UpstreamBroken):
        _fed([b"x" * (LINE_BYTES + 1) + b"\ndata: y\n\n"])


def test_many_events_in_one_piece_may_together_exceed_the_cap_of_one() -> None:
    events, tail = _fed([b"data: a\n\r\n" * 600_000])
    assert (len(events), tail) == (600_000, b"")
