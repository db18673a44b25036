"""CORS: which web pages of other origins may call the API from a browser. Off unless ``LEAKY_CORS_ORIGINS`` says so.

Credentials in the sense of CORS are cookies, and no path here takes one: ``Access-Control-Allow-Credentials`` is never
sent. Pages that people look at (``/oauth2/authorize``, ``/account``) are never opened to other origins.
Source: the Fetch standard, section 3.3.
"""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from apps.core.errors import ConfigurationError
from gateway import settings
from gateway.exchange import Exchange, Header

_PREFIXES = ("/v1/", "/api/", "/.well-known/")
_PATHS = frozenset(f"/oauth2/{name}" for name in ("token", "revoke", "introspect", "userinfo", "jwks"))
_EXPOSED = (
    b"x-request-id, x-correlation-id, retry-after, retry-after-ms, x-should-retry, x-reservation-id, x-charged-tokens, "
    b"x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, x-ratelimit-limit-tokens, "
    b"x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens"
)
_METHODS = (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE")
_REMEMBERED = (b"access-control-max-age", b"600")
_HEADER_NAMES = re.compile(rb"[A-Za-z0-9_, -]{1,1024}")
_ANY = b"*"


def allowed_origins(configured: Iterable[str]) -> frozenset[bytes]:
    """The origins as browsers write them.

    Raises:
        ConfigurationError: one is not ``scheme://host[:port]`` in lower case, or ``*`` is not alone.
    """
    origins = frozenset(configured)
    for origin in origins - {"*"}:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.netloc or origin != f"{parts.scheme}://{parts.netloc}":
            raise ConfigurationError(f"LEAKY_CORS_ORIGINS: {origin} is not an origin such as https://app.example.com")
    if "*" in origins and len(origins) > 1:
        raise ConfigurationError("LEAKY_CORS_ORIGINS: * stands alone")
    return frozenset(origin.encode() for origin in origins)


ORIGINS = allowed_origins(settings.CORS_ORIGINS)


def apply(exchange: Exchange, origins: frozenset[bytes]) -> bool:
    """Add to the answer what a browser needs to see. True: this is a preflight, and :func:`answer_preflight` ends it.

    ``Vary`` is on every answer of these paths: a cache must not give one origin's answer to another.
    """
    if not (exchange.path in _PATHS or exchange.path.startswith(_PREFIXES)):
        return False
    origin = exchange.header(b"origin")
    everybody = _ANY in origins
    if not everybody:
        exchange.added = ((b"vary", b"Origin"),)
    if origin is None or not (everybody or origin in origins):
        return False
    exchange.added += (
        (b"access-control-allow-origin", _ANY if everybody else origin),
        (b"access-control-expose-headers", _EXPOSED),
    )
    return exchange.method == "OPTIONS" and exchange.header(b"access-control-request-method") is not None


async def answer_preflight(exchange: Exchange) -> None:
    """Tell a browser that it may send its request. The request itself is judged when it comes."""
    headers: list[Header] = [_METHODS, _REMEMBERED, (b"vary", b"Access-Control-Request-Headers")]
    asked = exchange.header(b"access-control-request-headers")
    if asked is not None and _HEADER_NAMES.fullmatch(asked):
        headers.append((b"access-control-allow-headers", asked))
    await exchange.answer(204, headers, b"")
