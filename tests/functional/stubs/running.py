"""A running stub, as the tests of this directory use it."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
from openai import AsyncOpenAI, OpenAI

from apps.core.ids import uuid7
from leaky_tokens.local.ports import free_port

KEY = "sk-stub-0001"
PATIENCE_SECONDS = 10
QUESTION = [{"role": "user", "content": "Where does the river go?"}]


@dataclass(frozen=True)
class Stub:
    """Where a stub runs, and what it wrote."""

    port: int
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def sdk(self, **headers: str) -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key=KEY, max_retries=0, default_headers=headers)

    def async_sdk(self, **headers: str) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key=KEY, max_retries=0, default_headers=headers)

    def chat(self, fault: str = "", **fields: Any) -> httpx.Response:
        """A plain HTTP call; ``fields`` are added to the body."""
        body = {"model": "gpt-4o-mini", "messages": QUESTION} | fields
        headers = {"authorization": f"Bearer {KEY}", "x-stub-fault": fault}
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, headers=headers, timeout=PATIENCE_SECONDS)

    def events(self, fault: str = "", **fields: Any) -> list[str]:
        """The data of a stream's events; usage is asked for."""
        options = {"stream": True, "stream_options": {"include_usage": True}}
        return data_of(self.chat(fault, **options | fields).text)

    def stats(self) -> dict[str, Any]:
        return orjson.loads(httpx.get(f"{self.url}/_stub/stats").content)

    def requests(self, request_id: str) -> dict[str, Any]:
        return orjson.loads(httpx.get(f"{self.url}/_stub/requests/{request_id}").content)

    def ending(self, request_id: str) -> dict[str, Any]:
        """The line that ended the only call of ``request_id``, once it is there."""
        eventually(lambda: len(self.requests(request_id)["lines"]) == 2)
        return self.requests(request_id)["lines"][1]


def start(log: Path) -> Stub:
    """Start a stub and wait until it answers."""
    port = free_port()
    command = [sys.executable, "-m", "gateway.stubs", "openai", "--port", str(port), "--log", str(log)]
    stub = Stub(port, log, subprocess.Popen(command))
    eventually(lambda: is_alive(stub))
    return stub


def stop(stub: Stub) -> int:
    """SIGTERM; the exit code."""
    stub.process.terminate()
    return stub.process.wait(PATIENCE_SECONDS)


def is_alive(stub: Stub) -> bool:
    assert stub.process.poll() is None, "the stub ended"
    try:
        return httpx.get(f"{stub.url}/livez").status_code == 200
    except httpx.ConnectError:
        return False


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until ``condition`` holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.005)


def new_id() -> str:
    return f"test_{uuid7().hex}"


def data_of(text: str) -> list[str]:
    """The data of server-sent events."""
    return [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]


def content_of(events: list[str]) -> str:
    """The text of the first choice of a stream's chunks."""
    chunks = [orjson.loads(event) for event in events if event != "[DONE]"]
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"][:1])
