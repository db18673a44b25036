"""How a request is written, byte for byte. No sockets here.

Everything that does not change between two calls (the request line, the host, each header's name) is checked once and
remembered; what does change is checked as a whole, by counting line ends.
"""

import re
from functools import lru_cache

from gateway.upstream.client import Headers, Origin

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_WITHOUT_BODY = frozenset({b"GET", b"HEAD"})
_OURS = frozenset(
    {
        b"accept-encoding",
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""These frame the message or steer the connection. A caller's copy would let a request be read in two ways."""


def host_of(origin: Origin) -> bytes:
    """Give the ``Host`` header's value: the port only where it is not the scheme's own, IPv6 in brackets.

    Raises:
        ValueError: the name cannot be written (``UnicodeError`` is one).
    """
    name = origin.host.encode("ascii" if origin.host.isascii() else "idna")
    if b":" in name:
        name = b"[" + name + b"]"
    if origin.port != _DEFAULT_PORTS.get(origin.scheme):
        name += b":%d" % origin.port
    return _checked(_TARGET, name, "host")


def request_bytes(
    host: bytes, method: bytes, target: bytes, headers: Headers, body: bytes, *, remember: bool = True
) -> bytes:
    """Write a request. ``Host``, ``Accept-Encoding: identity`` and ``Content-Length`` are added.

    ``remember`` is for request lines that come again; one that a client writes may hold its secrets.

    Raises:
        ValueError: a part that would not stay within its line, or a header that only we may write. The message never
            holds a value, because values are credentials.
    """
    lines = [_remembered_start(method, target, host) if remember else _start(method, target, host)]
    for name, value in headers:
        lines.append(_name(name) + value)
    if body or method not in _WITHOUT_BODY:
        lines.append(b"content-length: %d" % len(body))
    lines.append(b"\r\n")
    head = b"\r\n".join(lines)
    # The start holds two line ends, each further line is preceded by one, the last consists of one.
    expected = len(lines) + 2
    if head.count(b"\r") != expected or head.count(b"\n") != expected or b"\0" in head:
        raise ValueError("a header's value holds CR, LF or NUL")
    return head + body


def _start(method: bytes, target: bytes, host: bytes) -> bytes:
    """Write the request line and the headers that every request to ``host`` has."""
    _checked(_TOKEN, method, "method")
    _checked(_TARGET, target, "target")
    # A compressed answer could unfold to any size, and its bytes would not be the ones that we meter.
    return method + b" " + target + b" HTTP/1.1\r\nhost: " + host + b"\r\naccept-encoding: identity"


_remembered_start = lru_cache(maxsize=4096)(_start)


@lru_cache(maxsize=1024)
def _name(name: bytes) -> bytes:
    """Write a header's name with its colon."""
    _checked(_TOKEN, name, "header name")
    if name.lower() in _OURS:
        raise ValueError(f"the client itself writes {name.decode()}")
    return name + b": "


def _checked(pattern: re.Pattern[bytes], value: bytes, what: str) -> bytes:
    if pattern.fullmatch(value) is None:
        raise ValueError(f"not a {what} that can be written")
    return value
