"""RELIABILITY.md §5.2 rows 18, 25, 41 to 49: bodies that are not one plain JSON object."""

import gzip
import json
import string
from itertools import islice, product

import httpx
import orjson
import pytest

from tests.functional.refusing import GOOD, Caller, Refused, insist, row

NOT_JSON = Refused(400, "invalid_json")
NOT_AN_OBJECT = Refused(400, "invalid_request_error")
SECRET = b"do-not-echo-me"


def with_content(content: bytes) -> bytes:
    """A request whose one message says this, raw."""
    return b'{"model":"gpt-4o-mini","max_tokens":5,"messages":[{"role":"user","content":%b}]}' % content


def with_temperature(value: bytes) -> bytes:
    """A request with this raw number where a temperature belongs."""
    return orjson.dumps(GOOD)[:-1] + b',"temperature":%b}' % value


def a_million_keys() -> bytes:
    """An object of nine megabytes, which is within the cap."""
    names = map("".join, product(string.ascii_letters + string.digits, repeat=4))
    return orjson.dumps(dict.fromkeys(islice(names, 1_000_000), 0))


@pytest.mark.parametrize(
    "body",
    [
        row(41, "empty", b""),
        row(41, "null", b"null"),
        row(41, "array", b"[]"),
        row(41, "string", b'"x"'),
        row(41, "number", b"42"),
    ],
)
def test_what_is_not_an_object_is_told_so(caller: Caller, body: bytes) -> None:
    answer = caller.refused(NOT_AN_OBJECT, body)

    assert "object expected" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        row(42, "truncated", b'{"model":"' + SECRET, "at character 9"),
        row(42, "trailing comma", b'{"model":"' + SECRET + b'",}', "at character"),
        row(42, "byte order mark", b'\xef\xbb\xbf{"model":"' + SECRET + b'"}', "at character 0"),
        row(42, "single quotes", b"{'model':'" + SECRET + b"'}", "at character 1"),
        row(42, "two objects", b'{"model":"' + SECRET + b'"}{}', "at character 26"),
        row(42, "blank only", b"   ", "at character 3"),
        row(43, "bytes that are no UTF-8", with_content(b'"' + SECRET + b' \xff\xc3("'), "at byte"),
        row(43, "overlong slash", with_content(b'"' + SECRET + b' \xc0\xaf"'), "at byte"),
        row(43, "surrogate as bytes", with_content(b'"' + SECRET + b' \xed\xa0\x80"'), "at byte"),
    ],
)
def test_broken_text_is_located_and_never_echoed(caller: Caller, body: bytes, place: str) -> None:
    message = caller.refused(NOT_JSON, body).json()["error"]["message"]

    assert place in message
    assert SECRET.decode() not in message


@pytest.mark.parametrize(
    "body",
    [
        row(44, "lone surrogate", with_content(rb'"\ud800"')),
        row(44, "lone low surrogate", with_content(rb'"x \udfff y"')),
        row(44, "surrogates in the wrong order", with_content(rb'"\udc00\ud800"')),
        row(44, "lone surrogate in a key", with_content(rb'"x","\ud800":1')),
        row(45, "NaN", with_temperature(b"NaN")),
        row(45, "Infinity", with_temperature(b"Infinity")),
        row(45, "minus Infinity", with_temperature(b"-Infinity")),
        row(45, "1e400", with_temperature(b"1e400")),
        row(46, "integer of 5,000 digits", with_temperature(b"9" * 5_000)),
        row(46, "fraction of 5,000 digits", with_temperature(b"0." + b"9" * 5_000)),
    ],
)
def test_what_another_reader_could_read_otherwise_is_refused(caller: Caller, body: bytes) -> None:
    caller.refused(NOT_JSON, body)


@pytest.mark.parametrize(
    ("body", "due"),
    [
        row(47, "10,000 arrays", with_content(b"[" * 10_000 + b"]" * 10_000), Refused(400, "too_deep")),
        row(47, "10,000 arrays without an end", b"[" * 10_000, Refused(400, "too_deep")),
        row(47, "10,000 objects", b'{"a":' * 10_000 + b"1" + b"}" * 10_000, Refused(400, "too_deep")),
        row(48, "model twice", b'{"model":"gpt-4o-mini","model":"gpt-4o"}', Refused(400, "duplicate_key", "model")),
        row(48, "twice within", with_content(b'"x","role":"system"'), Refused(400, "duplicate_key", "role")),
        row(48, "twice by an escape", rb'{"model":"a","\u006dodel":"b"}', Refused(400, "duplicate_key", "model")),
        row(49, "a million keys", a_million_keys(), Refused(400, "too_large")),
        row(49, "__proto__", orjson.dumps(GOOD | {"__proto__": {}}), Refused(400, "unknown_parameter", "__proto__")),
    ],
)  # fmt: skip
def test_what_is_too_much_is_refused_by_name(caller: Caller, body: bytes, due: Refused) -> None:
    caller.refused(due, body)


def test_49_a_key_of_a_megabyte_is_named_by_its_beginning(caller: Caller) -> None:
    name = "k" * 1_000_000

    caller.refused(Refused(400, "unknown_parameter", name[:100]), orjson.dumps(GOOD | {name: 1}))


@pytest.mark.parametrize(
    ("media_type", "due"),
    [
        row(25, "text", "text/plain", Refused(415, "unsupported_media_type")),
        row(25, "utf-16", "application/json; charset=utf-16", Refused(415, "unsupported_media_type")),
        row(25, "form", "application/x-www-form-urlencoded", Refused(415, "unsupported_media_type")),
        row(25, "empty", "", Refused(415, "unsupported_media_type")),
    ],
)
def test_only_json_in_utf_8_is_read(caller: Caller, media_type: str, due: Refused) -> None:
    caller.refused(due, json.dumps(GOOD).encode(), content_type=media_type)


def test_25_a_body_without_a_type_is_refused(caller: Caller) -> None:
    with caller.leaving_no_trace():
        answer = httpx.post(
            f"{caller.url}/v1/chat/completions", content=orjson.dumps(GOOD),
            headers={"authorization": f"Bearer {caller.payer.key}"},
        )  # fmt: skip

    insist(answer, Refused(415, "unsupported_media_type"))


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip"])
def test_18_an_encoded_body_is_refused_and_never_inflated(caller: Caller, encoding: str) -> None:
    bomb = gzip.compress(b" " * 50_000_000, compresslevel=1)

    caller.refused(Refused(415, "unsupported_encoding"), bomb, content_encoding=encoding)
