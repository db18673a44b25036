"""The quota store and what may happen to it: flushed, out of memory, out of disk, without power, failed over."""

import os
import secrets
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis

from leaky_tokens.local.guard import guarded
from leaky_tokens.local.ports import free_port
from leaky_tokens.local.valkey import QUOTA, Valkey
from tests.faults.site.process import Process
from tests.functional.payers import eventually

SOON = {"repl-diskless-sync-delay": "0", "repl-ping-replica-period": "1"}
"""A replica is in step within a second."""

ASK_SECONDS = 5


class QuotaStore:
    """One Valkey with an append-only file, synced at every write unless ``settings`` say otherwise."""

    def __init__(
        self,
        directory: Path,
        *,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        password: str | None = None,
    ) -> None:
        self._settings = {**QUOTA, **SOON, **(settings or {})}
        self.server = Valkey(directory, free_port(), password or secrets.token_hex(8), self._settings)
        self.process = Process(
            directory.name,
            guarded(self.server.command(), signal.SIGKILL),
            self._serves,
            directory.with_suffix(".log"),
            environment={**os.environ, **(environment or {})},
        )

    def ask(self, *command: str | int) -> Any:
        """One command, on a connection of its own."""
        with self.client() as client:
            return client.execute_command(*command)

    def client(self) -> redis.Redis:
        """A connection for a test's own questions."""
        return redis.Redis(
            host="127.0.0.1", port=self.server.port, password=self.server.password, socket_timeout=ASK_SECONDS,
            decode_responses=True,
        )  # fmt: skip

    def url(self, port: int | None = None) -> str:
        """Where clients connect, or would through a proxy on ``port``."""
        return f"redis://:{self.server.password}@127.0.0.1:{port or self.server.port}/0"

    def restart(self) -> None:
        """``kill -9`` and start again: what was written is there."""
        self.process.kill()
        self.process.start()

    def flush(self) -> None:
        """Everything is gone, the run id is the same."""
        self.ask("FLUSHALL")

    def starve(self) -> None:
        """No more memory than is in use: what is not allowed to be done out of memory is refused."""
        self.ask("CONFIG", "SET", "maxmemory", 1)

    def feed(self) -> None:
        """As much memory as it wants."""
        self.ask("CONFIG", "SET", "maxmemory", 0)

    def fill_disk(self) -> None:
        """Its append-only file cannot grow any more."""
        self.process.limit_files(self.written())

    def written(self) -> int:
        """How long its append-only file is now."""
        return self._log().stat().st_size

    def lose_power(self, *, back_to: int) -> int:
        """Die, have an append-only file of only so many bytes, and start again. Returns how many bytes were lost.

        As on a disk that was not synced; also an entry cut in two is thrown away by the server.
        """
        self.process.kill()
        log = self._log()
        lost = log.stat().st_size - back_to
        os.truncate(log, back_to)
        self.process.start()
        return lost

    def replica(self, directory: Path) -> "QuotaStore":
        """Another server that follows this one and is in step with it."""
        settings = {**self._settings, "masterauth": self.server.password}
        other = QuotaStore(directory, settings=settings, password=self.server.password)
        other.process.start()
        other.ask("REPLICAOF", "127.0.0.1", self.server.port)
        assert eventually(other.is_in_step), other.process.tail()
        return other

    def is_in_step(self) -> bool:
        """Whether a replica has its primary's data and follows it."""
        return bool(self.ask("INFO", "replication").get("master_link_status") == "up")

    def promote(self) -> None:
        """A replica becomes a primary; its old primary does not know."""
        self.ask("REPLICAOF", "NO", "ONE")

    def _serves(self) -> bool:
        """Not only up: its data is loaded."""
        try:
            return bool(self.ask("PING"))
        except redis.RedisError:
            return False

    def _log(self) -> Path:
        """The part of the append-only file that is being written."""
        return max((self.server.data / "appendonlydir").glob("*.incr.aof"), key=lambda file: file.stat().st_mtime_ns)


class QuotaCluster:
    """Three primaries that share the slots, as a real cluster does."""

    NODES = 3

    def __init__(self, directory: Path) -> None:
        password = secrets.token_hex(8)
        settings = {"cluster-enabled": "yes", "cluster-node-timeout": "2000", "masterauth": password}
        self.nodes = [
            QuotaStore(directory / f"node-{number}", settings=settings, password=password)
            for number in range(self.NODES)
        ]

    def start(self) -> None:
        """Return when every slot is served and every node knows it."""
        for node in self.nodes:
            node.process.start()
        for number, node in enumerate(self.nodes):
            first, last = (16384 * (number + step) // self.NODES for step in (0, 1))
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, last - 1)
            node.ask("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].server.port)
        assert eventually(lambda: all("cluster_state:ok" in node.ask("CLUSTER", "INFO") for node in self.nodes))

    def url(self) -> str:
        """Where clients find the cluster."""
        return self.nodes[0].url().replace("redis://", "redis+cluster://")

    def stop(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            node.process.kill()
