"""The stores of a run: ours from the wheels, or the user's own where the environment names them."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

from leaky_tokens.local import resp
from leaky_tokens.local.errors import RunFailed
from leaky_tokens.local.guard import guarded
from leaky_tokens.local.place import Place
from leaky_tokens.local.ports import free_port
from leaky_tokens.local.postgres import Postgres
from leaky_tokens.local.supervisor import Program
from leaky_tokens.local.valkey import CACHE, QUOTA, Valkey

PORTS = "ports.json"
ANSWER_SECONDS = 3
STOP_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Stores:
    """Where the three stores are, and which of them we start."""

    postgres: Postgres | None
    quota: Valkey | None
    cache: Valkey | None
    urls: dict[str, str]

    def environment(self) -> dict[str, str]:
        """The variables by which the processes find them; the owner's address is for migrations only."""
        return {
            "DATABASE_URL": self.urls["postgresql"],
            "QUOTA_REDIS_URL": self.urls["quota"],
            "REDIS_URL": self.urls["cache"],
        }

    def initialise(self) -> None:
        """Before the servers start: make our cluster, once; insist that the user's own servers answer.

        Raises:
            RunFailed: one of the user's servers does not answer.
        """
        if self.postgres:
            self.postgres.initialise()
        else:
            _ask_postgres("DATABASE_URL", self.urls["postgresql"])
        for variable, ours, name in (("QUOTA_REDIS_URL", self.quota, "quota"), ("REDIS_URL", self.cache, "cache")):
            if not ours:
                _ask_valkey(variable, self.urls[name])

    def make_usable(self) -> None:
        """After the servers have started: our cluster gets its roles and its database. The user's own has them."""
        if self.postgres:
            self.postgres.create_roles()

    def programs(self) -> list[Program]:
        """The servers that are ours to start."""
        valkeys = [_valkey(name, store) for name, store in (("quota", self.quota), ("cache", self.cache)) if store]
        return [*valkeys, *([_postgres(self.postgres)] if self.postgres else [])]


def _postgres(store: Postgres) -> Program:
    command = store.guarded_command()
    return Program("postgresql", command, store.is_ready, stop_signal=signal.SIGINT, stop_seconds=STOP_SECONDS)


def _valkey(name: str, store: Valkey) -> Program:
    return Program(name, guarded(store.command(), signal.SIGTERM), store.is_ready, stop_seconds=STOP_SECONDS)


def choose(place: Place, environment: Mapping[str, str], secrets: Mapping[str, str]) -> Stores:
    """Ours on the ports of the last run where those are free, except for the servers that ``environment`` names."""
    remembered = place.read(PORTS)
    given = {
        name: environment.get(variable, "")
        for name, variable in (("postgresql", "DATABASE_URL"), ("quota", "QUOTA_REDIS_URL"), ("cache", "REDIS_URL"))
    }
    ports = {name: free_port(int(remembered.get(name, 0))) for name in given if not given[name]}
    place.write(PORTS, remembered | ports)
    superuser, owner, app = (secrets[f"postgres_{role}"] for role in ("superuser", "owner", "app"))
    postgres = (
        None if given["postgresql"] else Postgres(place.file("postgres"), ports["postgresql"], superuser, owner, app)
    )
    quota, cache = (
        None if given[name] else Valkey(place.file(name), ports[name], secrets[name], settings)
        for name, settings in (("quota", QUOTA), ("cache", CACHE))
    )
    urls = {
        "postgresql": postgres.app_url() if postgres else given["postgresql"],
        "postgresql-owner": _owner_url(postgres, environment),
        "quota": quota.url() if quota else given["quota"],
        "cache": cache.url() if cache else given["cache"],
    }
    return Stores(postgres, quota, cache, urls)


def _owner_url(postgres: Postgres | None, environment: Mapping[str, str]) -> str:
    if postgres:
        return postgres.owner_url()
    return environment.get("DATABASE_OWNER_URL") or environment["DATABASE_URL"]


def _ask_postgres(variable: str, url: str) -> None:
    try:
        psycopg.connect(url, connect_timeout=ANSWER_SECONDS).close()
    except psycopg.OperationalError as error:
        raise RunFailed(f"{variable} names a server that does not answer: {error}") from error


def _ask_valkey(variable: str, url: str) -> None:
    try:
        reply = resp.ask(url, "PING", seconds=ANSWER_SECONDS)
    except OSError as error:
        raise RunFailed(f"{variable} names a server that does not answer: {error}") from error
    if reply != b"+PONG":
        raise RunFailed(f"{variable} names a server that does not answer: {reply.decode(errors='replace')}")
