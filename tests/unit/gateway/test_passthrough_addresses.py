"""Whose address a request comes from. RELIABILITY.md, row 21."""

from ipaddress import ip_network

import pytest

from gateway.addresses import client_address

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize("said", ["127.0.0.1", "198.51.100.1", "junk"])
def test_21_a_stranger_is_not_believed(said: str) -> None:
    assert client_address("192.0.2.7", [said.encode()], PROXIES) == "192.0.2.7"
    assert client_address("10.0.0.1", [said.encode()], []) == "10.0.0.1"


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ([b"198.51.100.1"], "198.51.100.1"),
        ([b"127.0.0.1, 198.51.100.1"], "198.51.100.1"),
        ([b"junk, 198.51.100.1 , 10.0.0.2"], "198.51.100.1"),
        ([b"127.0.0.1", b"198.51.100.1"], "198.51.100.1"),
        ([b"2001:db8::1, fd00::2"], "2001:db8::1"),
        ([b"::ffff:198.51.100.1"], "198.51.100.1"),
        ([b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ([], "10.0.0.1"),
    ],
)
def test_the_nearest_that_is_no_proxy_of_ours(said: list[bytes], client: str) -> None:
    assert client_address("10.0.0.1", said, PROXIES) == client


@pytest.mark.parametrize(
    "said", [b"", b"junk", b"198.51.100.1:80", b"fe80::1%evil", b"198.51.100.1, junk", b"198.51.100.1,", b"\xff"]
)
def test_what_cannot_be_read_counts_for_nothing(said: bytes) -> None:
    assert client_address("10.0.0.1", [said], PROXIES) == "10.0.0.1"


def test_a_peer_without_an_address() -> None:
    assert client_address("", [b"198.51.100.1"], PROXIES) == ""
    assert client_address("::ffff:10.0.0.1", [b"198.51.100.1"], PROXIES) == "198.51.100.1"
