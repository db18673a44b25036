"""The faults of the way an answer travels, and what the oracle saw of them: seen from a bare socket."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import pytest

from tests.functional.stubs.running import (
    KEY,
    PATIENCE_SECONDS,
    QUESTION,
    Stub,
    content_of,
    data_of,
    eventually,
    new_id,
)

LEAVING_IS_SEEN_WITHIN_MS = 1000


def request(request_id: str, *, stream: bool = True, **headers: str) -> bytes:
    body = orjson.dumps({"model": "gpt-4o-mini", "messages": QUESTION, "stream": stream})
    lines = ["POST /v1/chat/completions HTTP/1.1", "host: stub", f"authorization: Bearer {KEY}"]
    lines += [f"x-request-id: {request_id}", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextmanager
def connected(stub: Stub) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", stub.port), timeout=PATIENCE_SECONDS) as connection:
        yield connection


def read_until(connection: socket.socket, wanted: bytes, times: int = 1) -> bytes:
    seen = b""
    while seen.count(wanted) < times:
        part = connection.recv(65536)
        assert part, f"the connection ended before {wanted!r}: {seen!r}"
        seen += part
    return seen


def read_until_reset(connection: socket.socket) -> bytes:
    seen = b""
    try:
        while part := connection.recv(65536):
            seen += part
    except ConnectionResetError:
        return seen
    raise AssertionError(f"a proper end, no reset, after {seen!r}")


@pytest.mark.parametrize("chunks", [1, 3, 10])
def test_abort_in_a_stream_resets_after_exactly_so_many_chunks(stub: Stub, chunks: int) -> None:
    request_id = new_id()
    with connected(stub) as connection:
        connection.sendall(request(request_id, x_stub_fault=f"abort={chunks}"))
        seen = read_until_reset(connection)
    assert seen.count(b"data: ") == chunks
    ending = stub.ending(request_id)
    assert (ending["chunks"], ending["tokens_generated"]) == (chunks, chunks - 1)
    assert (ending["client_left"], ending["complete"]) == (False, False)


@pytest.mark.parametrize("stream", [True, False])
def test_abort_before_the_head(stub: Stub, *, stream: bool) -> None:
    request_id = new_id()
    with connected(stub) as connection:
        connection.sendall(request(request_id, stream=stream, x_stub_fault="abort=0"))
        assert read_until_reset(connection) == b""
    assert stub.ending(request_id)["status"] is None


def test_abort_within_a_plain_answer(stub: Stub) -> None:
    with connected(stub) as connection:
        connection.sendall(request(new_id(), stream=False, x_stub_fault="abort=1"))
        seen = read_until_reset(connection)
    assert b"content-length: " in seen
    assert seen.count(b'"usage"') == 0


def test_garbage(stub: Stub) -> None:
    with connected(stub) as connection:
        connection.sendall(request(new_id(), x_stub_fault="garbage"))
        assert b"this is not HTTP" in connection.recv(65536)
        assert connection.recv(65536) == b""


def test_stall(stub: Stub) -> None:
    with connected(stub) as connection:
        connection.sendall(request(new_id(), x_stub_fault="stall=300@3"))
        read_until(connection, b"data: ", times=3)
        began = time.monotonic()
        rest = read_until(connection, b"[DONE]")
    assert 0.25 < time.monotonic() - began < PATIENCE_SECONDS
    assert rest.count(b"data: ") == 16


def test_delays(stub: Stub) -> None:
    with connected(stub) as connection:
        began = time.monotonic()
        connection.sendall(request(new_id(), x_stub_delay_ms="150", x_stub_chunk_delay_ms="10"))
        read_until(connection, b"HTTP/1.1 200 OK")
        head = time.monotonic()
        read_until(connection, b"[DONE]")
    assert head - began >= 0.15
    assert time.monotonic() - head >= 0.01 * 17


def test_slow_bytes(stub: Stub) -> None:
    with connected(stub) as connection:
        connection.sendall(request(new_id(), stream=False, x_stub_fault="slow-bytes"))
        head, _, body = read_until(connection, b"\r\n\r\n").partition(b"\r\n\r\n")
        began = time.monotonic()
        while len(body) < 5:
            body += connection.recv(65536)
    assert b"content-length" in head
    assert body == b'{"id"'
    assert time.monotonic() - began > 0.15


@pytest.mark.parametrize("seed", range(25))
def test_split_changes_no_byte(stub: Stub, seed: int) -> None:
    line_ends = ", crlf" if seed % 2 else ""
    plain = stub.chat(f"split={seed}{line_ends}")
    stream = stub.chat(f"split={seed}{line_ends}", stream=True)
    said = content_of(data_of(stream.content.decode()))
    assert said == plain.json()["choices"][0]["message"]["content"] == content_of(stub.events())
    assert stream.content.count(b"\r\n") == (stream.content.count(b"\n") if line_ends else 0)


def test_split_cuts_within_characters_and_line_ends(stub: Stub) -> None:
    ends = set()
    for seed in range(20):
        with connected(stub) as connection:
            connection.sendall(request(new_id(), x_stub_fault=f"split={seed}, crlf"))
            chunks = read_until(connection, b"\r\n0\r\n\r\n").partition(b"\r\n\r\n")[2]
        ends |= {part[-1:] for part in http_chunks(chunks)}
    assert any(end >= b"\xc2" for end in ends)
    assert b"\r" in ends


def http_chunks(body: bytes) -> Iterator[bytes]:
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        if length:
            yield rest[:length]
        body = rest[length + 2 :]


@pytest.mark.parametrize(
    ("headers", "expected_status"),
    [
        ({"x_stub_delay_ms": "60000"}, None),
        ({"x_stub_fault": "hang"}, None),
        ({"x_stub_chunk_delay_ms": "60000"}, 200),
        ({"x_stub_fault": "stall=60000@0"}, 200),
    ],
)
def test_a_client_that_leaves_is_noticed_at_once(
    stub: Stub, headers: dict[str, str], expected_status: int | None
) -> None:
    request_id = new_id()
    with connected(stub) as connection:
        connection.sendall(request(request_id, **headers))
        eventually(lambda: stub.requests(request_id)["calls"] == 1)
        assert stub.stats()["open_streams"] >= 1
        if expected_status:
            read_until(connection, b"\r\n\r\n")
        left = time.monotonic()
    ending = stub.ending(request_id)
    assert ending["client_left"] is True
    assert ending["status"] == expected_status
    assert (ending["monotonic"] - left) * 1000 < LEAVING_IS_SEEN_WITHIN_MS


@pytest.mark.parametrize("chunks", [1, 2, 5, 9])
def test_generation_stops_when_the_client_leaves(stub: Stub, chunks: int) -> None:
    request_id = new_id()
    with connected(stub) as connection:
        connection.sendall(request(request_id, x_stub_tokens="1000", x_stub_chunk_delay_ms="20"))
        read_until(connection, b"data: ", times=chunks)
    ending = stub.ending(request_id)
    assert ending["client_left"] is True
    assert chunks <= ending["chunks"] <= chunks + 1
    assert ending["tokens_generated"] == ending["chunks"] - 1
    assert ending["usage"] is None
    assert 0 <= ending["left_ms"] < 20 + LEAVING_IS_SEEN_WITHIN_MS


def test_a_client_that_does_not_read_stops_the_generation(stub: Stub) -> None:
    """What the kernel does not take is not generated: the oracle counts what the socket accepted."""
    request_id = new_id()
    with connected(stub) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(request(request_id, x_stub_fault="over-max", x_stub_tokens="200000"))
        read_until(connection, b"\r\n\r\n")
    ending = stub.ending(request_id)
    assert ending["client_left"] is True
    assert ending["tokens_generated"] < 100_000
