"""Which paths belong to which service, and what of a client's credentials each of them sees.

Deny by default: what the table does not name is not there. A path is compared as decoded, and only plain paths are
compared at all, so what is authorised here is byte for byte what the service routes by.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from apps.core.errors import ConfigurationError
from gateway.upstream.client import Origin

NAMES = ("auth", "token", "analytics")


@dataclass(frozen=True, slots=True)
class Kind:
    """What happens to credentials. ``authenticates``: the gateway does, and consumes them; ``passed`` are the headers
    that the service gets to see and judge. Who may read a ``cookie`` may set one.
    """

    authenticates: bool
    passed: frozenset[bytes]


API = Kind(authenticates=True, passed=frozenset())
VALIDATION = Kind(authenticates=False, passed=frozenset({b"x-api-key"}))
OAUTH = Kind(authenticates=False, passed=frozenset({b"authorization"}))
BROWSER = Kind(authenticates=False, passed=frozenset({b"cookie"}))
OPEN = Kind(authenticates=False, passed=frozenset())


@dataclass(frozen=True, slots=True)
class Route:
    """A path, and all below it unless it is ``exact``, of a service."""

    path: str
    service: str
    kind: Kind
    exact: bool = False

    @property
    def pattern(self) -> str:
        """What logs and metrics call it."""
        return self.path if self.exact else f"{self.path}/**"

    def covers(self, path: str) -> bool:
        """Whether ``path`` is its own."""
        return path == self.path or (not self.exact and path.startswith(f"{self.path}/"))


TABLE = (
    Route("/api/v1/auth/api-keys/validate", "auth", VALIDATION, exact=True),
    Route("/api/v1/auth", "auth", API),
    Route("/api/v1/orgs", "auth", API),
    Route("/api/v1/invitations", "auth", API),
    Route("/api/v1/audit", "auth", API),
    Route("/api/v1/tokens", "token", API),
    Route("/api/v1/providers", "token", API),
    Route("/api/v1/rate-limits", "token", API),
    Route("/api/v1/receipts", "token", API),
    Route("/api/v1/requests", "token", API),
    Route("/api/v1/analytics", "analytics", API),
    Route("/oauth2/authorize", "auth", BROWSER),
    Route("/oauth2/logout", "auth", BROWSER),
    Route("/oauth2", "auth", OAUTH),
    Route("/.well-known", "auth", OAUTH),
    Route("/account", "auth", BROWSER),
    Route("/static", "auth", OPEN),
    Route("/api/schema", "auth", OPEN),
    Route("/v3/api-docs", "auth", OPEN),
    Route("/swagger-ui.html", "auth", OPEN, exact=True),
    Route("/swagger-ui", "auth", OPEN),
    Route("/redoc", "auth", OPEN),
)
"""The first that covers a path counts."""

_FIRST_SEGMENTS = frozenset(route.path.split("/")[1] for route in TABLE)
_PLAIN = re.compile(rb"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~!$&'()*+,=:@-]+)+/?")


def route_of(path: str, raw_path: bytes) -> Route | None:
    """The route of a decoded ``path``; None: there is nothing for clients there.

    A path that needed decoding, or has an empty segment, ``.``, ``..`` or ``;`` in it, could be read in two ways and is
    nowhere.
    """
    if path.split("/", 2)[1:2] == [] or path.split("/", 2)[1] not in _FIRST_SEGMENTS:
        return None
    if _PLAIN.fullmatch(raw_path) is None or raw_path != path.encode():
        return None
    return next((route for route in TABLE if route.covers(path)), None)


def origins(configured: Iterable[str]) -> dict[str, Origin]:
    """Service to where it is, from ``name=URL``.

    Raises:
        ConfigurationError: a service is missing or unknown, or its URL has more than scheme, host and port.
    """
    found = {name: _origin(url) for name, _, url in (word.partition("=") for word in configured)}
    if set(found) != set(NAMES):
        raise ConfigurationError(f"GATEWAY_SERVICES must name {', '.join(NAMES)}, each once: name=http://host:port")
    return found


def _origin(url: str) -> Origin:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.username:
        raise ConfigurationError(f"GATEWAY_SERVICES: {url} is not like http://auth:8080")
    return Origin(parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))


def end_to_end(headers: Sequence[tuple[bytes, bytes]], dropped: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
    """Headers that are not for one connection alone, nor named in ``Connection``, nor ``dropped``. Names lower case."""
    named = b",".join(value for name, value in headers if name == b"connection").lower().split(b",")
    gone = {name.strip() for name in named} | _HOP_BY_HOP | dropped
    return [(name, value) for name, value in headers if name not in gone]


_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
