"""The same client on aiohttp: the implementation that ours is held against, three to four times slower.

It shares the contract's tests with :mod:`gateway.upstream.http1`. Two things are coarser: ``between_chunks`` is not
longer than ``first_byte``, and framing is as strict as aiohttp's parser is, which is less strict than ours.
"""

import asyncio
import io
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from yarl import URL

from gateway.upstream.client import (
    Headers,
    Limits,
    Origin,
    UpstreamBroken,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.upstream.pool import Pooling
from gateway.upstream.wire import host_of, request_bytes


class AiohttpClient:
    """Implements :class:`gateway.upstream.client.UpstreamClient`. Must be made inside a running loop."""

    def __init__(self, pooling: Pooling | None = None, tls: ssl.SSLContext | None = None) -> None:
        """``tls`` is what HTTPS origins are verified with; the system's authorities where it is None."""
        pooling = pooling or Pooling()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=tls or True,
                limit=0,
                limit_per_host=pooling.max_connections,
                keepalive_timeout=pooling.idle_seconds,
                use_dns_cache=False,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=("User-Agent", "Accept", "Content-Type"),
        )

    async def request(
        self, origin: Origin, method: bytes, target: bytes, headers: Headers, body: bytes, limits: Limits
    ) -> "AiohttpResponse":
        """Send a request and wait for the answer's head.

        Raises:
            UpstreamUnreachable, UpstreamTimeout, UpstreamBroken
            ValueError: a header that cannot be written, or that is the client's own to write. Nothing was sent.
        """
        host = host_of(origin)
        request_bytes(host, method, target, headers, b"")
        with _translated():
            response = await self._session.request(
                method.decode(),
                URL(f"{origin.scheme}://{host.decode()}{target.decode()}", encoded=True),
                headers=[(name.decode(), value.decode("latin-1")) for name, value in _sent(headers)],
                data=io.BytesIO(body) if body else None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=limits.connect, sock_read=limits.first_byte),
                max_line_size=limits.head_bytes,
                max_field_size=limits.head_bytes,
            )
        return _checked(AiohttpResponse(response, limits))

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


class AiohttpResponse:
    """Implements :class:`gateway.upstream.client.UpstreamResponse`."""

    def __init__(self, response: aiohttp.ClientResponse, limits: Limits) -> None:
        self.status = response.status
        self.headers: Headers = [(name.lower(), value) for name, value in response.raw_headers]
        self._response = response
        self._limits = limits
        self._received = 0
        self._is_aborted = False

    async def chunk(self) -> bytes:
        """Give all of the body that has come since the last time, or wait for more; empty at its proper end.

        Raises:
            UpstreamTimeout, UpstreamBroken
        """
        if self._is_aborted:
            raise UpstreamBroken("the connection was aborted")
        try:
            with _translated():
                async with asyncio.timeout(self._limits.between_chunks):
                    piece = await self._response.content.readany()
        except BaseException:  # Cancelled, too: a connection in the middle of an answer serves nobody else.
            self.abort()
            raise
        self._received += len(piece)
        if self._received > self._limits.body_bytes:
            self.abort()
            raise UpstreamBroken("the answer's body exceeds its cap")
        return piece

    async def read(self) -> bytes:
        """Give the rest of the body.

        Raises:
            UpstreamTimeout, UpstreamBroken
        """
        pieces = []
        while piece := await self.chunk():
            pieces.append(piece)
        return b"".join(pieces)

    def abort(self) -> None:
        """Close the connection at once, unless the answer has been read to its end."""
        if not self._response.content.at_eof():
            self._is_aborted = True
            self._response.close()


def _sent(headers: Headers) -> Iterator[tuple[bytes, bytes]]:
    yield b"Accept-Encoding", b"identity"
    yield from headers


def _checked(response: AiohttpResponse) -> AiohttpResponse:
    """Refuse what our own client refuses in a head.

    Raises:
        UpstreamBroken
    """
    for name, value in response.headers:
        if name == b"content-encoding" and value.lower() not in {b"", b"identity"}:
            response.abort()
            raise UpstreamBroken("a content coding, though identity was asked for")
    return response


@contextmanager
def _translated() -> Iterator[None]:
    """Say aiohttp's errors in our words."""
    try:
        yield
    except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
        raise UpstreamUnreachable(str(error)) from error
    except TimeoutError as error:
        raise UpstreamTimeout("the answer's head or next chunk did not come in time") from error
    except (aiohttp.ClientError, OSError) as error:
        raise UpstreamBroken(str(error) or "the connection broke") from error
