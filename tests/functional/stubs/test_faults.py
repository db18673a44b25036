"""The faults in what an answer says, seen by a plain HTTP client and, where it matters, by the SDK."""

from typing import Any

import openai
import orjson
import pytest

from tests.functional.stubs.running import QUESTION, Stub, content_of, data_of

STREAM = {"stream": True, "stream_options": {"include_usage": True}}


def usages(stub: Stub, fault: str) -> list[Any]:
    """The usage in a plain answer, and those in a stream."""
    plain = stub.chat(fault).json().get("usage")
    chunks = [orjson.loads(event) for event in stub.events(fault) if event != "[DONE]"]
    return [plain, *(chunk["usage"] for chunk in chunks if chunk.get("usage"))]


def test_no_usage(stub: Stub) -> None:
    assert usages(stub, "no-usage") == [None]


@pytest.mark.parametrize(
    ("fault", "completion", "total"),
    [
        ("wrong-usage=5", 5, 18),
        ("usage-negative", -1000, -987),
        ("usage-huge", 2**63, 2**63 + 13),
        ("usage-string", "16", "29"),
    ],
)
def test_wrong_usage(stub: Stub, fault: str, completion: object, total: object) -> None:
    found = usages(stub, fault)
    assert [usage["completion_tokens"] for usage in found] == [completion] * 2
    assert [usage["total_tokens"] for usage in found] == [total] * 2


def test_usage_twice(stub: Stub) -> None:
    _, first, second = usages(stub, "usage-twice")
    assert first == second


def test_usage_in_the_last_choice(stub: Stub) -> None:
    *_, last, done = stub.events("usage-in-last-choice")
    assert done == "[DONE]"
    assert orjson.loads(last)["choices"][0]["finish_reason"] == "stop"
    assert orjson.loads(last)["usage"]["completion_tokens"] == 16


def test_over_max(stub: Stub) -> None:
    assert stub.chat("over-max", max_tokens=10).json()["usage"]["completion_tokens"] == 16
    assert content_of(stub.events("over-max", max_tokens=40)).count(" ") == 56


def test_empty_deltas(stub: Stub) -> None:
    chunks = [orjson.loads(event) for event in stub.events("empty-deltas=7")[:-2]]
    assert [chunk["choices"][0]["delta"] for chunk in chunks].count({}) == 7 + 1


def test_truncated_stream_is_success_to_the_sdk(stub: Stub) -> None:
    with stub.sdk(**{"x-stub-fault": "truncate=4"}) as client:
        chunks = list(client.chat.completions.create(model="gpt-4o", messages=QUESTION, stream=True))
    assert len(chunks) == 4
    assert chunks[-1].choices[0].finish_reason is None


def test_truncated_plain_answer(stub: Stub) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(stub.chat("truncate=1").content)


def test_error_frame(stub: Stub) -> None:
    with stub.sdk(**{"x-stub-fault": "error-frame=3"}) as client:
        stream = client.chat.completions.create(model="gpt-4o", messages=QUESTION, stream=True)
        chunks = [next(stream) for _ in range(3)]
        with pytest.raises(openai.APIError, match="The server had an error"):
            next(stream)
    assert len(chunks) == 3


def test_duplicate_done(stub: Stub) -> None:
    assert stub.events("duplicate-done").count("[DONE]") == 2


@pytest.mark.parametrize("fields", [{}, STREAM])
def test_invalid_utf8(stub: Stub, fields: dict[str, Any]) -> None:
    with pytest.raises(UnicodeDecodeError):
        stub.chat("invalid-utf8", **fields).content.decode()


def test_crlf(stub: Stub) -> None:
    body = stub.chat("crlf", **STREAM).content
    assert body.count(b"\n") == body.count(b"\r\n") > 30
    assert content_of(data_of(body.decode())) == content_of(stub.events())


@pytest.mark.parametrize(("status", "kind"), [(429, "requests"), (500, "server_error"), (503, "server_error")])
def test_status(stub: Stub, status: int, kind: str) -> None:
    answer, patient = stub.chat(f"status={status}"), stub.chat(f"status={status}, retry-after=7", **STREAM)
    assert (answer.status_code, patient.status_code) == (status, status)
    assert answer.json()["error"]["type"] == kind
    assert ("retry-after" in answer.headers, patient.headers["retry-after"]) == (False, "7")
    assert ("x-ratelimit-limit-tokens" in answer.headers) == (status == 429)


def test_insufficient_quota(stub: Stub) -> None:
    answer = stub.chat("insufficient-quota")
    assert answer.status_code == 429
    assert answer.json()["error"]["type"] == answer.json()["error"]["code"] == "insufficient_quota"


def test_redirect(stub: Stub) -> None:
    assert stub.chat("redirect").headers["location"] == "http://127.0.0.2:9/elsewhere"
    elsewhere = stub.chat("redirect=http://127.0.0.1:1/x?a=b")
    assert (elsewhere.status_code, elsewhere.headers["location"]) == (302, "http://127.0.0.1:1/x?a=b")


def test_html(stub: Stub) -> None:
    answer = stub.chat("html", **STREAM)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.text.startswith("<!DOCTYPE html>")


def test_bad_json(stub: Stub) -> None:
    for text in (stub.chat("bad-json").text, stub.events("bad-json")[0]):
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(text)


def test_empty_object(stub: Stub) -> None:
    assert stub.chat("empty-object").json() == {}
    assert stub.events("empty-object") == ["{}", "[DONE]"]


@pytest.mark.parametrize("fields", [{}, STREAM])
def test_endless_line(stub: Stub, fields: dict[str, Any]) -> None:
    body = stub.chat("endless-line=3", **fields).content
    assert len(body) > 3 * 1024 * 1024
    assert b"\n" not in body


def test_gzip_bomb(stub: Stub) -> None:
    answer = stub.chat("gzip-bomb=8")
    assert len(answer.content) == 8 * 1024 * 1024
    assert int(answer.headers["content-length"]) < 64 * 1024


def test_no_content_length(stub: Stub) -> None:
    answer = stub.chat("no-content-length")
    assert "content-length" not in answer.headers
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.json()["usage"]["completion_tokens"] == 16


def test_refused_order_reaches_the_sdk_as_its_own_error(stub: Stub) -> None:
    with stub.sdk(**{"x-stub-fault": "status=429, retry-after=1"}) as client, pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="gpt-4o", messages=QUESTION)
    with stub.sdk(**{"x-stub-fault": "garbage"}) as client, pytest.raises(openai.APIConnectionError) as failure:
        client.chat.completions.create(model="gpt-4o", messages=QUESTION)
    assert "illegal status line" in str(failure.value.__cause__)
