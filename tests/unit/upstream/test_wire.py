"""What leaves, byte for byte, and what is refused before it leaves."""

import pytest

from gateway.upstream.client import Origin
from gateway.upstream.wire import host_of, request_bytes


def test_a_request_is_written_as_one_piece() -> None:
    headers = [(b"Authorization", b"Bearer x"), (b"content-type", b"application/json")]
    assert request_bytes(b"api.example:8443", b"POST", b"/v1/chat?x=1", headers, b"{}") == (
        b"POST /v1/chat?x=1 HTTP/1.1\r\nhost: api.example:8443\r\naccept-encoding: identity\r\n"
        b"Authorization: Bearer x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
    )


def test_only_a_request_that_can_have_a_body_gives_its_length() -> None:
    assert b"content-length" not in request_bytes(b"h", b"GET", b"/", [], b"")
    assert b"content-length: 0\r\n\r\n" in request_bytes(b"h", b"POST", b"/", [], b"")


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\n", b"\ra", b"a\0b", b"a\r\n\r\nGET / HTTP/1.1\r\n"])
def test_a_value_cannot_leave_its_line(value: bytes) -> None:
    with pytest.raises(ValueError, match="CR, LF or NUL") as refusal:
        request_bytes(b"h", b"POST", b"/", [(b"authorization", value)], b"")
    assert value.decode() not in str(refusal.value)


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\n", b"a\n", b"\0", b"a\x7f", "é".encode()])
def test_a_name_is_a_token(name: bytes) -> None:
    with pytest.raises(ValueError, match="header name"):
        request_bytes(b"h", b"POST", b"/", [(name, b"x")], b"")


@pytest.mark.parametrize("name", [b"Host", b"CONTENT-LENGTH", b"transfer-encoding", b"Connection", b"accept-encoding"])
def test_what_frames_the_message_is_ours_to_write(name: bytes) -> None:
    with pytest.raises(ValueError, match="the client itself writes"):
        request_bytes(b"h", b"POST", b"/", [(name, b"x")], b"")


@pytest.mark.parametrize("target", [b"", b"/a b", b"/a\r\n", b"/\n", b"/\0", "/é".encode()])
def test_a_target_has_no_spaces_and_controls(target: bytes) -> None:
    with pytest.raises(ValueError, match="target"):
        request_bytes(b"h", b"POST", target, [], b"")


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (Origin("https", "api.example", 443), b"api.example"),
        (Origin("http", "api.example", 80), b"api.example"),
        (Origin("https", "api.example", 80), b"api.example:80"),
        (Origin("http", "::1", 8091), b"[::1]:8091"),
        (Origin("https", "bücher.example", 443), b"xn--bcher-kva.example"),
    ],
)
def test_the_host_has_its_port_where_it_is_not_the_usual_one(origin: Origin, host: bytes) -> None:
    assert host_of(origin) == host


def test_a_host_cannot_leave_its_line() -> None:
    with pytest.raises(ValueError, match="host"):
        host_of(Origin("http", "a\r\nx: y", 80))
