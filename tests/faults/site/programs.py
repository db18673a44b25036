"""The programs of ours in a site: the stub provider, gateways, workers with and without a broker, beats."""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from leaky_tokens.local.guard import guarded
from leaky_tokens.local.ports import free_port
from leaky_tokens.local.valkey import CACHE, Valkey
from tests.faults.site.process import Process

CELERY = ("celery", "-q", "-A", "workers.celery")
PLAIN = ("--without-gossip", "--without-mingle", "--without-heartbeat")


class Gateway(Process):
    """``python -m gateway`` on a port of its own, the same after each start."""

    def __init__(self, name: str, directory: Path, environment: Mapping[str, str]) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        own = {"GATEWAY_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
        log = directory / f"{name}.log"
        super().__init__(name, module("gateway"), self._serves, log, environment={**environment, **own})

    def failing(self) -> list[str] | None:
        """What it says is failing; None when it says nothing at all."""
        try:
            answer = httpx.get(f"{self.url}/readyz", timeout=2)
        except httpx.HTTPError:
            return None
        return list(answer.json()["failing"])

    def _serves(self) -> bool:
        return self.failing() == []


class Stub(Process):
    """The fake provider; its log is the only truth about what was generated."""

    def __init__(self, directory: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.requests = directory / "requests.jsonl"
        command = module("gateway.stubs", "openai", "--port", str(port), "--log", str(self.requests))
        super().__init__("stub", command, self._answers, directory / "stub.log")

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/livez", timeout=2).is_success
        except httpx.HTTPError:
            return False


class Worker(Process):
    """What runs the loops: a Celery worker, a beat, or (``alone``) nothing but the loops, without a broker."""

    def __init__(self, name: str, kind: str, directory: Path, environment: Mapping[str, str]) -> None:
        arguments = {
            "worker": [*CELERY, "worker", *PLAIN, "-n", f"{name}@site"],
            "beat": [*CELERY, "beat", "--schedule", str(directory / f"{name}.schedule")],
            "alone": ["tests.faults.site.loops"],
        }[kind]
        self._sign = {"worker": "loops started", "beat": "beat: Starting", "alone": "loops started"}[kind]
        super().__init__(name, module(*arguments), self._has_begun, directory / f"{name}.log", environment=environment)

    def begin(self) -> None:
        """Start with an empty log, in which the sign of life is looked for."""
        self.log.unlink(missing_ok=True)
        super().begin()

    def _has_begun(self) -> bool:
        return self._sign in self.log.read_text(errors="replace")


def cache(directory: Path, password: str) -> tuple[Valkey, Process]:
    """The cache and broker."""
    server = Valkey(directory, free_port(), password, CACHE)
    command = guarded(server.command(), signal.SIGKILL)
    return server, Process("cache", command, server.is_ready, directory.with_suffix(".log"))


def module(*arguments: str) -> list[str]:
    """A module of ours under this interpreter."""
    return guarded([sys.executable, "-m", *arguments], signal.SIGKILL)


def environment_of(stores: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """What every program of ours gets: the secrets of the tests, the stores, and how long things last."""
    ours = {"DJANGO_SETTINGS_MODULE": "leaky_tokens.settings.dev", "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **stores, **settings, **ours}
