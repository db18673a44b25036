"""RELIABILITY.md §5.2 rows 12, 15 to 17, 20, 23, 24: requests that are refused by their head alone."""

import socket
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from tests.functional.refusing import GOOD, PATH, Caller, Refused, insist

BODY_LIMIT = 10 * 1024 * 1024
TOO_LARGE = 50_000_000


def connected(caller: Caller) -> socket.socket:
    """A bare connection to the gateway."""
    where = urlsplit(caller.url)
    assert where.hostname
    return socket.create_connection((where.hostname, where.port or 80), timeout=10)


def head_of(caller: Caller, *lines: str, path: str = PATH) -> bytes:
    """The head of a good call with these lines more."""
    usual = (
        f"POST {path} HTTP/1.1", f"host: {urlsplit(caller.url).netloc}", f"authorization: Bearer {caller.payer.key}",
        "content-type: application/json",
    )  # fmt: skip
    return "\r\n".join((*usual, *lines, "", "")).encode()


def all_of(connection: socket.socket) -> bytes:
    """What the gateway says until it closes."""
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize("expect", [(), ("expect: 100-continue",)], ids=["15", "17"])
def test_fifty_megabytes_are_refused_before_the_first_of_them(caller: Caller, expect: tuple[str, ...]) -> None:
    with caller.leaving_no_trace(), connected(caller) as connection:
        connection.sendall(head_of(caller, f"content-length: {TOO_LARGE}", *expect))
        answer = all_of(connection)

    assert_too_large(answer)


def test_16_fifty_megabytes_in_chunks_are_refused_when_they_pass_the_cap(caller: Caller) -> None:
    with caller.leaving_no_trace(), connected(caller) as connection:
        connection.sendall(head_of(caller, "transfer-encoding: chunked"))
        # One byte more than the cap; the other 40 MB are never sent.
        connection.sendall(b"%x\r\n" % TOO_LARGE + b" " * (BODY_LIMIT + 1))
        answer = all_of(connection)

    assert_too_large(answer)


def assert_too_large(answer: bytes) -> None:
    assert answer.startswith(b"HTTP/1.1 413 "), answer[:200]
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert b"x-should-retry: false" in head
    assert orjson.loads(body)["error"]["code"] == "request_too_large"


def test_12_an_address_of_70_kb_is_refused(caller: Caller) -> None:
    """The server before us answers it in words of its own."""
    with caller.leaving_no_trace(), connected(caller) as connection:
        connection.sendall(head_of(caller, "content-length: 0", path=f"{PATH}?{'x' * 70_000}"))
        answer = connection.recv(65536)

    assert answer.split(b" ", 2)[1] in (b"400", b"414")


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_20_an_upgrade_of_a_call_is_refused_in_words(caller: Caller, protocol: str) -> None:
    body = orjson.dumps(GOOD)
    lines = ("connection: upgrade", f"upgrade: {protocol}", f"content-length: {len(body)}")

    with caller.leaving_no_trace(), connected(caller) as connection:
        connection.sendall(head_of(caller, *lines) + body)
        answer = all_of(connection)

    assert answer.startswith(b"HTTP/1.1 426 ")
    assert b'"code":"upgrade_not_supported"' in answer


def test_20_an_upgrade_of_a_question_is_ignored(caller: Caller) -> None:
    headers = {"authorization": f"Bearer {caller.payer.key}", "connection": "upgrade", "upgrade": "h2c"}

    assert httpx.get(f"{caller.url}/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["//v1/chat/completions", "/v1/chat/completions/", "/v1/nothing", "/v1/%2e%2e/admin"])
def test_24_an_unknown_path_is_404_and_never_a_redirect(caller: Caller, path: str) -> None:
    with caller.leaving_no_trace():
        answer = httpx.request(
            "POST", httpx.URL(caller.url, raw_path=path.encode()), content=orjson.dumps(GOOD),
            headers={"authorization": f"Bearer {caller.payer.key}", "content-type": "application/json"},
        )  # fmt: skip

    insist(answer, Refused(404, "not_found"))


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_23_a_wrong_method_is_405_and_names_the_right_one(caller: Caller, method: str) -> None:
    with caller.leaving_no_trace():
        answer = httpx.request(method, f"{caller.url}/v1/chat/completions")

    insist(answer, Refused(405, "method_not_allowed"))
    assert answer.headers["allow"] == "POST"


def test_23_an_unknown_method_is_501(caller: Caller) -> None:
    insist(httpx.request("TRACE", f"{caller.url}/v1/chat/completions"), Refused(501, "method_not_implemented"))
