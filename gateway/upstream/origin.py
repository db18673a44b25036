"""A configured base URL as what the HTTP client needs of it."""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from gateway.upstream.client import Origin


@dataclass(frozen=True, slots=True)
class Target:
    """Where an upstream is, and the path before every operation's own."""

    origin: Origin
    path: bytes

    @classmethod
    def of(cls, base_url: str) -> "Target":
        """Parse a base URL of the operator's; never anything of a client's."""
        return _parse(base_url)


@lru_cache(maxsize=1024)
def _parse(base_url: str) -> Target:
    parts = urlsplit(base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Target(Origin(parts.scheme, parts.hostname or "", port), parts.path.rstrip("/").encode())
