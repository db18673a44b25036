"""A site: stores, gateways and workers of a test's own, each behind a proxy, and the verbs that harm and heal them."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import environ
import pytest
from django.conf import settings
from django.db import connection

from tests.faults.site import programs
from tests.faults.site.clock import Clock
from tests.faults.site.ledger_store import Template
from tests.faults.site.process import Process
from tests.faults.site.programs import Gateway, Stub, Worker
from tests.faults.site.roads import Road, Roads
from tests.faults.site.valkeys import QuotaStore

TIMES = {
    "QUOTA_LEASE_SECONDS": "10",
    "QUOTA_RENEW_SECONDS": "3",
    "QUOTA_SWEEP_SECONDS": "1",
    "QUOTA_SKEW_SECONDS": "2",
    "GATEWAY_CALL_SECONDS": "15",
    "GATEWAY_RENEW_SECONDS": "1",
    "GATEWAY_HOLD_SECONDS": "4",
    "GATEWAY_SPOOL_RESEND_SECONDS": "3",
    "GATEWAY_DATABASE_SECONDS": "1.5",
}
"""Production's figures, scaled: lease 10 min, MAXCALL 15 min, heartbeat 10 s, pass 15 s, skew 60 s."""


@dataclass(frozen=True, slots=True)
class Ways:
    """One program's proxies to the stores."""

    quota: Road
    ledger: Road


class Site:
    """Everything runs after :meth:`start`. What a test harms is whole again after :meth:`heal`."""

    def __init__(self, root: Path, template: Template, stub: Stub, own: Mapping[str, str]) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.stub = stub
        self.settings = {**TIMES, "GATEWAY_SPOOL_DIR": str(root / "spool"), **own}
        self.ledger = template.copy(root / "ledger")
        self.quota = QuotaStore(root / "quota")
        self._cache, self.cache = programs.cache(root / "cache", secrets.token_hex(8))
        self._made = 0
        self._roads = Roads()
        self.ways: dict[str, Ways] = {}
        self.gateways: list[Gateway] = []
        self.workers: list[Worker] = []

    def start(self, *, gateways: int = 2, workers: int = 1) -> "Site":
        """Return when all of it serves."""
        self._start_all([self.ledger.process, self.quota.process, self.cache])
        for number in range(gateways):
            self.add_gateway(f"gateway-{number + 1}", wait=False)
        for number in range(workers):
            self.add_worker(f"worker-{number + 1}", wait=False)
        self._own = (*self.gateways, *self.workers)
        for program in self._own:
            program.await_ready()
        return self

    def add_gateway(self, name: str, *, clock: Clock | None = None, wait: bool = True, **own: str) -> Gateway:
        """Another gateway, with a clock and settings of its own."""
        gateway = Gateway(name, self.root, self._environment(name, clock, own))
        self.gateways.append(gateway)
        self._begin(gateway, wait=wait)
        return gateway

    def remove(self, program: Process) -> None:
        """End a gateway or worker that is not wanted any more, in order.

        Nobody would adopt its spool: gateways look for those of their own ledger's address, which each has its own of.
        """
        program.stop()
        self.gateways = [gateway for gateway in self.gateways if gateway is not program]
        self.workers = [worker for worker in self.workers if worker is not program]

    def add_worker(self, name: str, kind: str = "worker", *, wait: bool = True, **own: str) -> Worker:
        """Another worker: ``worker``, ``beat``, or ``alone``: the loops without a broker."""
        worker = Worker(name, kind, self.root, self._environment(name, None, own))
        self.workers.append(worker)
        self._begin(worker, wait=wait)
        return worker

    def urls(self) -> list[str]:
        """Where the gateways listen."""
        return [gateway.url for gateway in self.gateways]

    def quota_ways(self) -> list[Road]:
        """Every program's way to the quota store."""
        return [ways.quota for ways in self.ways.values()]

    def ledger_ways(self) -> list[Road]:
        """Every program's way to PostgreSQL."""
        return [ways.ledger for ways in self.ways.values()]

    def clock(self, offset_seconds: int = 0) -> Clock:
        """A clock that is wrong by so much, for a program that is started with it."""
        self._made += 1
        return Clock(self.root / f"{self._made}.clock", offset_seconds)

    def clock_of_quota(self) -> Clock:
        """A clock for the quota store, which starts again for it."""
        clock = self.clock()
        self.quota.process.environment |= clock.environment
        self.quota.restart()
        return clock

    def clock_of_ledger(self) -> Clock:
        """A clock for PostgreSQL, which starts again for it."""
        clock = self.clock()
        self.ledger.process.environment |= clock.environment
        self.ledger.process.stop()
        self.ledger.process.start()
        connection.close()
        return clock

    def replica(self) -> QuotaStore:
        """A replica of the quota store, in step with it."""
        self._made += 1
        return self.quota.replica(self.root / f"replica-{self._made}")

    def empty_quota_store(self) -> QuotaStore:
        """Another quota store, with nothing in it."""
        self._made += 1
        other = QuotaStore(self.root / f"empty-{self._made}", password=self.quota.server.password)
        other.process.start()
        return other

    def divide(self, other: QuotaStore, staying: Gateway) -> None:
        """All but one gateway go to another quota store, each with new connections. Both stores live."""
        for name, ways in self.ways.items():
            if name != staying.name:
                ways.quota.point_at(other.server.port)
                ways.quota.cut()

    def fail_over(self, other: QuotaStore) -> None:
        """Everything goes to another quota store from now on; the old one ends."""
        for way in self.quota_ways():
            way.move_to(other.server.port)
        self.quota.process.kill()
        self.quota = other

    def heal(self) -> None:
        """What was added ends, what is frozen thaws, what has ended starts, every way opens; return when all serve."""
        for program in (*self.gateways, *self.workers):
            if program not in self._own:
                self.remove(program)
        everything = [self.ledger.process, self.quota.process, self.cache, *self.gateways, *self.workers]
        for process in everything:
            process.thaw()
        for way in (*self.quota_ways(), *self.ledger_ways()):
            way.heal()
        dead = [process for process in everything if not process.runs()]
        for process in dead:
            process.begin()
        for process in everything:
            process.await_ready()
        connection.close()

    def stop(self) -> None:
        """End every process, the stores last."""
        for process in (*self.gateways, *self.workers):
            process.kill()
        for process in (self.cache, self.quota.process, self.ledger.process):
            process.kill()
        self._roads.close()

    @contextmanager
    def as_ours(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """The tests' own Django works on this site's stores."""
        monkeypatch.setattr(settings, "QUOTA_REDIS_URL", self.quota.url())
        monkeypatch.setattr(settings, "REDIS_URL", self._cache.url())
        theirs = environ.Env.db_url_config(self.ledger.url())
        connection.close()
        for name in ("NAME", "HOST", "PORT", "USER", "PASSWORD"):
            monkeypatch.setitem(connection.settings_dict, name, theirs[name])
        yield
        connection.close()

    def _begin(self, program: Process, *, wait: bool) -> None:
        program.begin()
        if wait:
            program.await_ready()

    def _start_all(self, processes: list[Process]) -> None:
        for process in processes:
            process.begin()
        for process in processes:
            process.await_ready()

    def _environment(self, name: str, clock: Clock | None, own: Mapping[str, str]) -> dict[str, str]:
        ways = Ways(self._roads.proxy(self.quota.server.port), self._roads.proxy(self.ledger.postgres.port))
        self.ways[name] = ways
        stores = {
            "DATABASE_URL": self.ledger.url(ways.ledger.port),
            "QUOTA_REDIS_URL": self.quota.url(ways.quota.port),
            "REDIS_URL": self._cache.url(),
        }
        settings_of_it = self.settings | dict(own) | (clock.environment if clock else {})
        return programs.environment_of(stores, settings_of_it)
