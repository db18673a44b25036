"""Gateways that a test starts beside the system: to be killed, frozen and ended as often as it likes."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from leaky_tokens.local.place import ROOT
from leaky_tokens.local.ports import free_port
from tests.functional.payers import eventually

START_SECONDS = 90


class GatewayProcess:
    """One ``python -m gateway`` on a port of its own, started again on the same one."""

    def __init__(self, log: Path, environment: Mapping[str, str]) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        own = {"GATEWAY_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
        self._environment = {**os.environ, **environment, **own, "DJANGO_SETTINGS_MODULE": "leaky_tokens.settings.dev"}
        self.start()

    def start(self) -> None:
        """Return when it is ready."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway"], cwd=ROOT, env=self._environment, stdout=output, stderr=output
            )
        assert eventually(self.is_ready, seconds=START_SECONDS), self.log.read_text()[-2000:]

    def is_ready(self) -> bool:
        return readiness(self.url) == []

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """As the kernel does when memory is short. Without effect on one that has ended."""
        self.process.kill()
        self.process.wait()


def readiness(url: str) -> list[str] | None:
    """What a gateway says is failing; None when it says nothing at all."""
    try:
        answer = httpx.get(f"{url}/readyz", timeout=2)
    except httpx.HTTPError:
        return None
    failing = list(answer.json()["failing"])
    assert (answer.status_code == 200) == (not failing)
    return failing
