"""Who is measured: a subject is a name, a command, its environment, and where and how to ask it.

A new subject is one function, entered in :data:`benchmarks.contenders.SUBJECTS`. Every subject is started anew for
each of its turns, on the same port, so that no other one runs beside it and its memory grows from a fresh start.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import nginx


@dataclass(frozen=True, slots=True)
class Stub:
    """The one upstream of all subjects: the port of its plain half and that of its streaming half."""

    plain_port: int
    stream_port: int


@dataclass(frozen=True, slots=True)
class Bank:
    """The stores under a gateway, migrated and seeded: its environment, a key that can pay, the stores' processes."""

    environment: Mapping[str, str]
    api_key: str
    process_ids: tuple[int, ...]
    quota_process_id: int
    administrator_url: str
    """PostgreSQL's superuser, who may read what everybody has asked."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a subject may build on. ``bank`` starts the stores at its first call and returns the same ones later."""

    directory: Path
    port: int
    stub: Stub
    bank: Callable[[], Bank]


@dataclass(frozen=True, slots=True)
class Subject:
    """One contender: how it is started, when it is ready, and how it is asked for an answer and for a stream."""

    name: str
    about: str
    command: tuple[str, ...]
    port: int
    ready_path: str
    plain_path: str = "/v1/chat/completions"
    stream_path: str = "/v1/chat/completions"
    environment: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    stream_headers: Mapping[str, str] = field(default_factory=dict)
    """What a call for a stream says beside, or instead of, ``headers``."""
    store_process_ids: tuple[int, ...] = ()


def nginx_proxy(site: Site) -> Subject:
    """What everything is compared with: forwards, and does nothing else."""
    command = nginx.proxy_command(
        site.directory, site.port, plain_port=site.stub.plain_port, stream_port=site.stub.stream_port
    )
    return Subject(
        "nginx",
        "plain proxy, one worker",
        tuple(command),
        site.port,
        "/livez",
        stream_path="/stream/v1/chat/completions",
    )


def gateway(site: Site) -> Subject:
    """The product as it is: authentication, bucket, hold, proxy, settlement, metrics and logs."""
    return _gateway(site, "gateway", "everything on", "gateway")


def gateway_noop(site: Site) -> Subject:
    """The gateway with a quota backend that says yes and writes nothing; it exists for this measurement only."""
    return _gateway(site, "gateway-noop", "the hold is a no-op", "benchmarks.noop_gateway")


def floor(site: Site) -> Subject:
    """The server of the gateway with an application that answers by itself: what is left for everything of ours."""
    command = (sys.executable, "-m", "benchmarks.floor", str(site.port))
    return Subject("floor", "the gateway's server answering by itself", command, site.port, "/livez")


def floor_asgi(site: Site) -> Subject:
    """The same under uvicorn's own protocol, as an ASGI application."""
    command = (sys.executable, "-m", "benchmarks.floor", str(site.port), "asgi")
    return Subject("floor-asgi", "uvicorn answering by itself", command, site.port, "/livez")


def _gateway(site: Site, name: str, about: str, module: str) -> Subject:
    bank = site.bank()
    metrics = site.directory / "metrics"
    metrics.mkdir(parents=True, exist_ok=True)
    own = {
        "GATEWAY_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(site.port),
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        # Its own, else what a turn before has left to the ledger would be settled again in this one.
        "GATEWAY_SPOOL_DIR": tempfile.mkdtemp(prefix="spool-", dir=site.directory),
        # One account has all calls, and the loops that book them share a core with the load: they come behind.
        "GATEWAY_JOURNAL_LIMIT": "10000000",
        # The ledger's writes go to the same disk as Valkey's: one that is slow for a moment shows as latency.
        "GATEWAY_VALKEY_TIMEOUT_SECONDS": "1",
    }
    return Subject(
        name,
        about,
        (sys.executable, "-m", module),
        site.port,
        "/readyz",
        environment={"PYTHONPATH": os.getcwd(), **bank.environment, **own},  # noqa: PTH109 - the tree that we run from
        headers={"authorization": f"Bearer {bank.api_key}"},
        store_process_ids=bank.process_ids,
    )
