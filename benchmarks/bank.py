"""The stores under a gateway for one run: a throw-away PostgreSQL and two Valkeys on the load's core, seeded.

They are set up as ``make run`` sets them up, durability included: a hold is on disk before the call leaves.
"""

import base64
import ctypes.util
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import processes
from benchmarks.machine import Cores
from benchmarks.processes import Child
from benchmarks.subjects import Bank, Stub
from leaky_tokens.local.ports import free_port
from leaky_tokens.local.postgres import DATABASE, Postgres
from leaky_tokens.local.valkey import CACHE, QUOTA, Valkey


@contextmanager
def running_bank(directory: Path, cores: Cores, stub: Stub, *, drained: bool = True) -> Iterator[Bank]:
    """Start the stores, migrate, seed; stop the stores with the block. ``drained``: with the loops of a worker."""
    directory.mkdir(parents=True)
    with ExitStack() as stack:
        superuser, owner, application = (secrets.token_hex(8) for _ in range(3))
        postgres = Postgres(directory / "postgres", free_port(), superuser, owner, application)
        quota = Valkey(directory / "quota", free_port(), secrets.token_hex(8), QUOTA)
        cache = Valkey(directory / "cache", free_port(), secrets.token_hex(8), CACHE)
        postgres.initialise()
        command = [*postgres.command(), "-c", "shared_preload_libraries=pg_stat_statements"]
        children = [_start(stack, command, cores, directory / "postgres.log", signal.SIGINT)]
        processes.wait_for(children[0], postgres.is_ready)
        postgres.create_roles()
        for store in (quota, cache):
            log = directory / f"{store.data.name}.log"
            children.append(_start(stack, store.command(), cores, log, environment=_allocator()))
            processes.wait_for(children[-1], store.is_ready)
        environment = _environment(postgres, quota, cache)
        _run(["manage.py", "migrate", "-v0"], environment | {"DATABASE_URL": postgres.owner_url()})
        key = _seed(f"seed({stub.plain_port}, {stub.stream_port})", environment)
        quota_process_id = children[1].process.pid
        if drained:
            children.append(stack.enter_context(draining(cores, directory, environment)))
        administrator = f"postgresql://postgres:{superuser}@127.0.0.1:{postgres.port}/{DATABASE}"
        yield Bank(environment, key, tuple(child.process.pid for child in children), quota_process_id, administrator)


def seeded(stores: Bank, call: str) -> str:
    """What a call of :mod:`benchmarks.seed` returns."""
    return _seed(call, stores.environment)


def _seed(call: str, environment: Mapping[str, str]) -> str:
    seeding = f"from benchmarks.seed import *; print({call})"
    return _run(["manage.py", "shell", "--no-imports", "-c", seeding], environment)


def _environment(postgres: Postgres, quota: Valkey, cache: Valkey) -> dict[str, str]:
    """What every process of ours gets; the secrets live as long as the run."""
    return {
        "DJANGO_SETTINGS_MODULE": "leaky_tokens.settings.dev",
        "DATABASE_URL": postgres.app_url(),
        "QUOTA_REDIS_URL": quota.url(),
        "REDIS_URL": cache.url(),
        "DJANGO_SECRET_KEY": secrets.token_urlsafe(40),
        "LEAKY_KEY_PEPPER": secrets.token_urlsafe(40),
        "GATEWAY_INTERNAL_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "LEAKY_CREDENTIAL_KEYS": f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}",
    }


@contextmanager
def draining(cores: Cores, directory: Path, environment: Mapping[str, str]) -> Iterator[Child]:
    """What books the journal in the ledger, as a worker does; without it gateways would settle again and again."""
    here = {"PYTHONPATH": str(Path(__file__).parent.parent), **environment}
    command = [sys.executable, "-m", "benchmarks.drain"]
    child = processes.start(command, core=cores.load, log=directory / "drain.log", environment=here)
    try:
        yield child
    finally:
        child.stop()


def _allocator() -> dict[str, str]:
    """Valkey with jemalloc, as its own packages have it: the wheel is linked to libc's, which is slow with much memory.

    The library comes with the package redis-tools. Where it is not found, libc's stays.
    """
    library = ctypes.util.find_library("jemalloc")
    return {} if library is None else {"LD_PRELOAD": library}


def _start(
    stack: ExitStack, command: Sequence[str], cores: Cores, log: Path, stop_signal: signal.Signals = signal.SIGTERM,
    *, environment: Mapping[str, str] | None = None,
) -> Child:  # fmt: skip
    child = processes.start(command, core=cores.load, log=log, environment=environment)
    stack.callback(child.stop, stop_signal)
    return child


def _run(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """What one of our commands prints; what it complains of goes to our own standard error."""
    command = [sys.executable, *arguments]
    finished = subprocess.run(command, env=os.environ | environment, check=True, stdout=subprocess.PIPE, text=True)
    return finished.stdout.strip()
