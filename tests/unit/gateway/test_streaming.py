"""A stream that is ended before its provider's end: a proper end, by what was seen of it."""

import orjson

from apps.core.units import Usage
from gateway.streaming import StreamMeter

HEAD = {"id": "c-1", "object": "chat.completion.chunk", "created": 7, "model": "m"}
USED = Usage(input=11, output=3)


def event(*choices: dict[str, object]) -> bytes:
    return b"data: " + orjson.dumps({**HEAD, "choices": choices}) + b"\n\n"


def said(index: int, text: str) -> dict[str, object]:
    return {"index": index, "delta": {"content": text}, "finish_reason": None}


def read(meter: StreamMeter, *events: bytes) -> list[bytes]:
    for one in events:
        meter.pass_on(one)
    return [line.removeprefix(b"data: ") for line in meter.cut_short(USED).split(b"\n\n") if line]


def test_choices_that_are_still_open_end_by_length() -> None:
    stopped = {"index": 0, "delta": {}, "finish_reason": "stop"}
    chunk, done = read(StreamMeter(client_asked_usage=False), event(said(0, "a"), said(1, "bä")), event(stopped))
    assert orjson.loads(chunk) == HEAD | {"choices": [{"index": 1, "delta": {}, "finish_reason": "length"}]}
    assert done == b"[DONE]"


def test_who_asked_for_usage_gets_it_last() -> None:
    _, usage, done = read(StreamMeter(client_asked_usage=True), event(said(0, "a")))
    counts = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
    assert orjson.loads(usage) == HEAD | {"choices": [], "usage": counts}
    assert done == b"[DONE]"


def test_a_stream_that_has_ended_by_itself_is_only_closed() -> None:
    stopped = {"index": 0, "delta": {}, "finish_reason": "stop"}
    assert read(StreamMeter(client_asked_usage=False), event(said(0, "a")), event(stopped)) == [b"[DONE]"]


def test_the_size_is_the_texts_in_bytes() -> None:
    meter = StreamMeter(client_asked_usage=False)
    read(meter, event(said(0, "a"), said(1, "bä")), event(said(0, "€")))
    assert meter.size == 1 + 3 + 3
