"""Stores that a test may stop, freeze and start again."""

import os
import secrets
import signal
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from leaky_tokens.local.ports import free_port
from leaky_tokens.local.postgres import Postgres
from leaky_tokens.local.valkey import CACHE, QUOTA, Valkey
from tests.functional.payers import eventually


@dataclass
class Store:
    """A server of ours. PostgreSQL is many processes: it is frozen with its children."""

    name: str
    command: list[str]
    is_ready: Callable[[], bool]
    log: Path
    stop_signal: signal.Signals
    process: "subprocess.Popen[bytes]" = field(init=False)

    def start(self) -> None:
        """Return when it answers."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(self.command, stdout=output, stderr=subprocess.STDOUT)
        assert eventually(self.is_ready), self.log.read_text()[-2000:]

    def stop(self) -> None:
        """Return when it has ended."""
        self.process.send_signal(self.stop_signal)
        self.process.wait(timeout=20)

    def freeze(self) -> None:
        """Its connections stay open, and nothing answers any more."""
        for pid in self._processes():
            _signal(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self._processes():
            _signal(pid, signal.SIGCONT)

    def _processes(self) -> Iterable[int]:
        pids = [self.process.pid]
        for pid in pids:
            with suppress(FileNotFoundError):
                pids += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return pids


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


class Stores:
    """PostgreSQL and the two Valkeys of one system."""

    def __init__(self, root: Path) -> None:
        superuser, owner, app = (secrets.token_hex(8) for _ in range(3))
        self._postgres = Postgres(root / "postgres", free_port(), superuser, owner, app)
        quota = Valkey(root / "quota", free_port(), secrets.token_hex(8), QUOTA)
        cache = Valkey(root / "cache", free_port(), secrets.token_hex(8), CACHE)
        self._postgres.initialise()
        self.postgresql = Store(
            "postgresql", self._postgres.command(), self._postgres.is_ready, root / "postgresql.log", signal.SIGINT
        )
        self.quota, self.cache = (
            Store(store.data.name, store.command(), store.is_ready, root / f"{store.data.name}.log", signal.SIGTERM)
            for store in (quota, cache)
        )
        self.environment = {
            "DATABASE_URL": self._postgres.app_url(),
            "DATABASE_OWNER_URL": self._postgres.owner_url(),
            "QUOTA_REDIS_URL": quota.url(),
            "REDIS_URL": cache.url(),
        }

    def start(self) -> None:
        for store in (self.postgresql, self.quota, self.cache):
            store.start()
        self._postgres.create_roles()

    def stop(self) -> None:
        for store in (self.postgresql, self.quota, self.cache):
            store.thaw()
            store.stop()
