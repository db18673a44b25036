"""Invariant I21: a client's stream is the provider's, byte for byte, however it was cut; less what only we asked."""

import re
from collections.abc import Iterator

import httpx
import pytest

from leaky_tokens.local.system import System
from tests.functional.own_providers import Wire, known, provider_at, served
from tests.functional.payers import Payer, open_payer

SEEDS = range(20)
USAGE_EVENT = re.compile(rb'data: [^\r\n]*"choices":\[\],"usage":\{[^\r\n]*(?:\r\n\r\n|\n\n)')


@pytest.fixture(scope="module")
def wire(system: System) -> Iterator[Wire]:
    """A recorded way to the stub."""
    recorder = Wire(str(system.facts["stubs"]["openai"]))
    with served(recorder):
        yield recorder


@pytest.fixture
def model(wire: Wire, committed: None) -> Iterator[str]:
    with provider_at(f"http://127.0.0.1:{wire.server_address[1]}") as name:
        yield name


@pytest.fixture
def payer(model: str) -> Payer:
    return open_payer(tokens=1_000_000, provider=model)


def streamed(gateway_url: str, payer: Payer, model: str, fault: str, *, asks: bool) -> bytes:
    """What the client gets."""
    body = {
        "model": model, "messages": [{"role": "user", "content": "Say it: žluťoučký kůň, 你好, 🐎"}], "max_tokens": 40,
        "stream": True, "stream_options": {"include_usage": asks},
    }  # fmt: skip
    headers = {"authorization": f"Bearer {payer.key}", "x-stub-fault": fault, "x-stub-tokens": "24"}
    answer = httpx.post(f"{gateway_url}/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize("line_end", ["lf", "crlf"])
def test_bytes_of_twenty_cuttings(gateway_url: str, wire: Wire, payer: Payer, model: str, line_end: str) -> None:
    assert known(gateway_url, payer, model)
    for seed in SEEDS:
        fault = f"split={seed}" + (", crlf" if line_end == "crlf" else "")

        whole = streamed(gateway_url, payer, model, fault, asks=True)
        said = wire.body_of_last()
        less = streamed(gateway_url, payer, model, fault, asks=False)
        said_of_less = wire.body_of_last()

        assert whole == said
        assert whole.endswith(b"data: [DONE]\r\n\r\n" if line_end == "crlf" else b"data: [DONE]\n\n")
        assert len(USAGE_EVENT.findall(said_of_less)) == 1
        assert less == USAGE_EVENT.sub(b"", said_of_less).replace(b',"usage":null', b"")
        assert b"usage" not in less
    assert payer.settled().spent > 0
