"""The stub's log: complete, append-only, the same by file and by HTTP, and without secrets."""

import subprocess
from pathlib import Path

import httpx
import orjson

from tests.functional.stubs.running import KEY, QUESTION, Stub, eventually, new_id, start, stop

SECRET = "the-prompt-says-platypus"


def lines(data: bytes) -> list[dict]:
    return [orjson.loads(line) for line in data.splitlines()]


def test_two_lines_for_a_call(stub: Stub) -> None:
    request_id, key = new_id(), new_id()
    with stub.sdk(**{"x-request-id": request_id, "idempotency-key": key, "x-stub-tokens": "5"}) as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=QUESTION, max_tokens=9)
    told = stub.requests(request_id)
    arrival, ending = told["lines"]
    assert answer.usage is not None
    assert told["calls"] == 1
    assert (arrival["event"], ending["event"]) == ("arrived", "ended")
    assert arrival["sequence"] == arrival["call"] == ending["call"] < ending["sequence"]
    assert (arrival["model"], arrival["stream"], arrival["prompt_tokens"]) == ("gpt-4o", False, 13)
    assert (arrival["max_tokens"], arrival["stream_options"], arrival["fault"]) == (9, None, "")
    assert arrival["idempotency_key"] == key
    assert set(arrival["body_keys"]) == {"messages", "model", "max_tokens"}
    assert {"authorization", "idempotency-key", "x-stainless-retry-count"} <= set(arrival["headers"])
    assert (ending["status"], ending["tokens_generated"], ending["chunks"], ending["complete"]) == (200, 5, 1, True)
    assert ending["usage"] == answer.usage.model_dump(exclude_none=True)
    assert ending["client_left"] is False
    assert arrival["monotonic"] <= ending["monotonic"]


def test_a_stream_counts_every_token_and_byte(stub: Stub) -> None:
    request_id = new_id()
    headers = {"authorization": f"Bearer {KEY}", "x-request-id": request_id}
    body = {"model": "gpt-4o", "messages": QUESTION, "stream": True, "stream_options": {"include_usage": True}}
    answer = httpx.post(f"{stub.url}/v1/chat/completions", json=body, headers=headers)
    ending = stub.ending(request_id)
    assert ending["bytes"] == len(answer.content)
    assert (ending["tokens_generated"], ending["chunks"]) == (16, 1 + 16 + 1 + 1 + 1)
    assert ending["usage"]["completion_tokens"] == 16


def test_refused_calls_are_calls(stub: Stub) -> None:
    request_id = new_id()
    httpx.post(f"{stub.url}/v1/chat/completions", json={}, headers={"x-request-id": request_id})
    ending = stub.ending(request_id)
    assert (ending["status"], ending["tokens_generated"], ending["usage"]) == (401, 0, None)


def test_counts(stub: Stub) -> None:
    before, request_id, key = stub.stats(), new_id(), new_id()
    with stub.sdk(**{"x-request-id": request_id, "idempotency-key": key}) as client:
        for _ in range(3):
            client.chat.completions.create(model="gpt-4o", messages=QUESTION)
    eventually(lambda: stub.stats()["open_calls"] == 0)
    after = stub.stats()
    assert after["calls"] == before["calls"] + 3
    assert after["models"]["gpt-4o"] == before["models"].get("gpt-4o", 0) + 3
    assert after["tokens_generated"] == before["tokens_generated"] + 48
    assert after["sequence"] == before["sequence"] + 6
    assert (after["request_ids"][request_id], after["idempotency_keys"][key]) == (3, 3)


def test_an_unknown_request_has_no_calls(stub: Stub) -> None:
    assert stub.requests("never") == {"request_id": "never", "calls": 0, "lines": []}


def test_the_log_by_http_is_the_file(stub: Stub) -> None:
    stub.chat()
    whole = httpx.get(f"{stub.url}/_stub/log").content
    assert whole == stub.log.read_bytes()
    assert [line["sequence"] for line in lines(whole)] == list(range(1, len(lines(whole)) + 1))
    last = len(lines(whole))
    assert lines(httpx.get(f"{stub.url}/_stub/log?after={last - 2}").content) == lines(whole)[-2:]
    assert httpx.get(f"{stub.url}/_stub/log?after={last}").content == b""
    assert httpx.get(f"{stub.url}/_stub/log?after={last + 5}").content == b""


def test_neither_prompt_nor_key_is_written(stub: Stub) -> None:
    stub.chat(messages=[{"role": "user", "content": SECRET}])
    written = stub.log.read_text()
    assert SECRET not in written
    assert KEY not in written
    assert '"authorization":"0001"' in written


def test_what_is_not_a_call_leaves_no_trace(stub: Stub) -> None:
    before = stub.stats()
    assert httpx.get(f"{stub.url}/livez").json() == {"status": "ok"}
    assert httpx.get(f"{stub.url}/_stub/none").status_code == 404
    assert httpx.get(f"{stub.url}/").status_code == 404
    assert stub.stats() == before


def test_the_record_outlives_a_restart(tmp_path: Path) -> None:
    log = tmp_path / "oracle.jsonl"
    for calls in (1, 2):
        stub = start(log)
        stub.chat()
        stats = stub.stats()
        assert (stats["calls"], stats["sequence"], stats["open_calls"]) == (calls, 2 * calls, 0)
        assert stop(stub) == 0
    assert [line["sequence"] for line in lines(log.read_bytes())] == [1, 2, 3, 4]


def test_sigterm_ends_also_a_hanging_call_and_its_end_is_written(tmp_path: Path) -> None:
    stub = start(tmp_path / "oracle.jsonl")
    command = ["curl", "-s", "-H", f"authorization: Bearer {KEY}", "-H", "x-stub-fault: hang", f"{stub.url}/v1/models"]
    with subprocess.Popen(command):
        eventually(lambda: stub.stats()["open_calls"] == 1)
        assert stop(stub) == 0
    arrival, ending = lines(stub.log.read_bytes())
    assert (ending["call"], ending["complete"], ending["client_left"]) == (arrival["call"], False, False)
