"""What operators may type into the catalogue. Each raises ``ValidationError`` with a sentence for them."""

import ipaddress
import re
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError

_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,64}")
_OURS = frozenset(
    {
        "authorization", "proxy-authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie", "host",
        "content-length", "content-type", "content-encoding", "accept", "accept-encoding", "connection", "keep-alive",
        "te", "trailer", "transfer-encoding", "upgrade", "expect", "forwarded", "x-forwarded-for", "x-forwarded-host",
        "x-forwarded-proto", "x-request-id", "traceparent", "tracestate", "idempotency-key",
    }
)  # fmt: skip
"""Headers that the gateway sets itself or that must never travel on: credentials, framing, hop-by-hop."""


def validate_base_url(value: str) -> None:
    """http(s), a host, no user, no query, no fragment; plain http only to this machine, unless settings allow it."""
    try:
        parts = urlsplit(value)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise ValidationError("This is not a URL.") from error
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\s\\]|[^\x21-\x7e]", value):
        raise ValidationError("An upstream is reached by http:// or https:// and a host name.")
    if "@" in parts.netloc or "?" in value or "#" in value:
        raise ValidationError("No user name, query or fragment: the credential has a field of its own.")
    if parts.scheme == "http" and not (settings.PLAIN_UPSTREAMS or _is_loopback(host)):
        raise ValidationError("Plain http only to this machine: prompts and the credential would be readable.")


def validate_header_names(value: object) -> None:
    """A list of exact lower-case header names, none of which the gateway sets itself."""
    for name in _strings(value):
        if not _HEADER_NAME.fullmatch(name):
            raise ValidationError(f"“{name}” is not a lower-case header name.")
        if name in _OURS:
            raise ValidationError(f"“{name}” never passes from the client to an upstream.")


def validate_names(value: object) -> None:
    """A list of words, none empty, none twice."""
    names = _strings(value)
    if "" in names or len(set(names)) != len(names):
        raise ValidationError("Each name once, and none empty.")


def _strings(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValidationError('A JSON list of strings, as in ["one", "two"].')
    return value


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
