"""Which port a process gets."""

import socket
from collections.abc import Iterator

import pytest

from leaky_tokens.local.errors import RunFailed
from leaky_tokens.local.ports import choose_port, free_port


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_the_preferred_port_when_it_is_free() -> None:
    port = free_port()
    assert choose_port("GATEWAY_PORT", "", preferred=port, remembered=0) == port


def test_the_remembered_port_when_the_preferred_one_is_taken(taken: int) -> None:
    port = free_port()
    assert choose_port("GATEWAY_PORT", "", preferred=taken, remembered=port) == port


def test_another_port_when_both_are_taken(taken: int) -> None:
    assert choose_port("GATEWAY_PORT", "", preferred=taken, remembered=taken) not in {0, taken}


def test_zero_asks_for_any_port_but_the_preferred_one() -> None:
    preferred, remembered = free_port(), free_port()
    assert choose_port("GATEWAY_PORT", "0", preferred=preferred, remembered=remembered) == remembered


def test_a_given_port_is_taken_or_refused(taken: int) -> None:
    port = free_port()
    assert choose_port("GATEWAY_PORT", str(port), preferred=1, remembered=1) == port
    with pytest.raises(RunFailed, match=f"GATEWAY_PORT={taken} is taken"):
        choose_port("GATEWAY_PORT", str(taken), preferred=1, remembered=1)


@pytest.mark.parametrize("given", ["http", "-1", "65536", "80.0"])
def test_no_port(given: str) -> None:
    with pytest.raises(RunFailed, match="is no port"):
        choose_port("GATEWAY_PORT", given, preferred=1, remembered=1)
