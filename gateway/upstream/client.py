"""The seam to the network: what the line needs of an HTTP client, and the ways it can fail.

UpstreamError
├── UpstreamUnreachable     no connection: nothing was sent, so another upstream may be tried
├── UpstreamTimeout         connected, but no answer within the limit
└── UpstreamBroken          the answer is not HTTP, too large, or ends before its end
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

Headers = Sequence[tuple[bytes, bytes]]


class UpstreamError(Exception):
    """The provider's side failed."""


class UpstreamUnreachable(UpstreamError):
    """No connection could be made within the connect timeout. Not one byte of the request has left."""


class UpstreamTimeout(UpstreamError):
    """The request left; the answer's head, or its next chunk, did not come in time."""


class UpstreamBroken(UpstreamError):
    """The connection broke, or what came is not HTTP/1.1, exceeds a cap, or ends before its end."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of an upstream: the key of a connection pool."""

    scheme: str
    host: str
    port: int


class Limits(msgspec.Struct, frozen=True):
    """Timeouts in seconds, sizes in bytes."""

    connect: float = 5.0
    first_byte: float = 120.0
    between_chunks: float = 60.0
    head_bytes: int = 64 * 1024
    body_bytes: int = 64 * 1024 * 1024


class UpstreamResponse(Protocol):
    """An answer whose head has come. Exactly one of :meth:`read`, iteration to the end, or :meth:`abort` ends it."""

    status: int
    headers: Headers
    """Names are lower case, in the order of arrival."""

    async def chunk(self) -> bytes:
        """The next piece of the body as it arrives; empty at its proper end. Back-pressure: nothing is read ahead
        beyond one socket buffer.

        Raises:
            UpstreamTimeout, UpstreamBroken
        """

    async def read(self) -> bytes:
        """The whole body.

        Raises:
            UpstreamTimeout, UpstreamBroken
        """

    def abort(self) -> None:
        """Close the connection at once, so that the provider sees its client leave. Harmless after the end."""


class UpstreamClient(Protocol):
    """Pooled keep-alive HTTP/1.1. A pooled connection found broken is replaced once."""

    async def request(
        self, origin: Origin, method: bytes, target: bytes, headers: Headers, body: bytes, limits: Limits
    ) -> UpstreamResponse:
        """Send a request and wait for the answer's head. ``Host`` and ``Content-Length`` are added here.

        Cancelling the caller closes the connection.

        Raises:
            UpstreamUnreachable, UpstreamTimeout, UpstreamBroken
            ValueError: a header that cannot be written (a line end in a credential, say), or that is the client's own
                to write. Nothing was sent.
        """

    async def close(self) -> None:
        """Close all connections."""
