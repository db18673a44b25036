"""PostgreSQL of a site: a copy of one that was migrated and seeded once."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from leaky_tokens.local.place import ROOT
from leaky_tokens.local.ports import free_port
from leaky_tokens.local.postgres import Postgres
from tests.faults.site.process import Process


@dataclass(frozen=True, slots=True)
class Template:
    """A stopped cluster with every migration, and with the stub as its only provider."""

    postgres: Postgres

    @classmethod
    def make(cls, directory: Path, stub_url: str) -> "Template":
        """Make it once: that takes seconds, a copy does not."""
        superuser, owner, app = (secrets.token_hex(8) for _ in range(3))
        postgres = Postgres(directory / "postgres", free_port(), superuser, owner, app)
        postgres.initialise()
        server = _process(postgres, directory)
        server.start()
        postgres.create_roles()
        _manage(postgres.owner_url(), "migrate", "-v0")
        _manage(postgres.app_url(), "seed_demo", "--credentials", str(directory / "demo.json"), "--stub-url", stub_url)
        server.stop()
        return cls(postgres)

    def copy(self, directory: Path) -> "LedgerStore":
        """A cluster of one's own, not started."""
        directory.mkdir(parents=True)
        postgres = replace(self.postgres, data=directory / "postgres", port=free_port())
        home = postgres.user.home_of(postgres.data)
        home.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", str(self.postgres.user.home_of(self.postgres.data)), str(home)], check=True)
        return LedgerStore(postgres, _process(postgres, directory))


@dataclass(frozen=True, slots=True)
class LedgerStore:
    """A PostgreSQL server and its process."""

    postgres: Postgres
    process: Process

    def stop_at_once(self) -> None:
        """``pg_ctl stop -m immediate``: no checkpoint, no goodbye; the next start replays the log."""
        self.process.stop(signal.SIGQUIT)

    def back_up(self) -> Path:
        """``pg_basebackup`` while it serves; returns where the copy is."""
        target = self._home.with_name("backup")
        connection = ["-h", "127.0.0.1", "-p", str(self.postgres.port), "-U", "postgres"]
        tool = self.postgres.binary("pg_basebackup")
        subprocess.run(
            [*self.postgres.user.prefix, tool, "-D", str(target), "--checkpoint=fast", *connection],
            check=True, capture_output=True, env={**os.environ, "PGPASSWORD": self.postgres.superuser_password},
        )  # fmt: skip
        return target

    def restore(self, backup: Path) -> None:
        """Begin again with a backup. Everything that was committed since is forgotten."""
        self.process.stop()
        shutil.rmtree(self._home)
        backup.rename(self._home)
        self.process.start()

    @property
    def _home(self) -> Path:
        return self.postgres.user.home_of(self.postgres.data)

    def owner_url(self) -> str:
        """Where migrations, and a test's own questions, connect."""
        return self.postgres.owner_url()

    def url(self, port: int | None = None) -> str:
        """Where the application connects, or would through a proxy on ``port``."""
        return replace(self.postgres, port=port or self.postgres.port).app_url()


def _process(postgres: Postgres, directory: Path) -> Process:
    log = directory / "postgresql.log"
    return Process("postgresql", postgres.guarded_command(), postgres.is_ready, log, stop_signal=signal.SIGINT)


def _manage(database_url: str, *arguments: str) -> None:
    environment = {**os.environ, "DATABASE_URL": database_url}
    subprocess.run(
        [sys.executable, "manage.py", *arguments], check=True, cwd=ROOT, env=environment, capture_output=True
    )
