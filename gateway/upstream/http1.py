"""The client of the hot path: HTTP/1.1 on asyncio and llhttp, and nothing that a proxy to providers does not need.

Read it top-down: :class:`Http1Client` sends, :class:`Http1Response` is read; ``pool.py`` keeps connections,
``connection.py`` moves bytes, ``answer.py`` understands them, ``wire.py`` writes requests.

Not here on purpose: redirects (a provider that redirects a POST with a credential is refused by the line), cookies,
proxies from the environment, decompression, retries after the first byte has left.
"""

import ssl

from gateway.upstream.answer import Answer
from gateway.upstream.client import Headers, Limits, Origin, UpstreamUnreachable
from gateway.upstream.connection import Connection
from gateway.upstream.pool import Pool, Pooling
from gateway.upstream.wire import request_bytes


class Http1Client:
    """Pooled keep-alive HTTP/1.1, one pool per origin. Belongs to the event loop in which it is first used.

    Implements :class:`gateway.upstream.client.UpstreamClient`.
    """

    def __init__(self, pooling: Pooling | None = None, tls: ssl.SSLContext | None = None) -> None:
        """``tls`` is what HTTPS origins are verified with; the system's authorities where it is None."""
        self._pooling = pooling or Pooling()
        self._tls = tls or ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        self._pools: dict[Origin, Pool] = {}

    async def request(
        self,
        origin: Origin,
        method: bytes,
        target: bytes,
        headers: Headers,
        body: bytes,
        limits: Limits,
        *,
        host: bytes | None = None,
    ) -> "Http1Response":
        """Send a request and wait for the answer's head.

        ``host`` is what a server of ours is told instead of its own name, where it must know the one that the client
        used; a provider is never told anything else.

        Raises:
            UpstreamUnreachable, UpstreamTimeout, UpstreamBroken
            ValueError: a header that cannot be written, or that is the client's own to write. Nothing was sent.
        """
        pool = self._pools.get(origin) or self._add_pool(origin)
        request = request_bytes(host or pool.host, method, target, headers, body, remember=host is None)
        answer = Answer(limits, has_body=method != b"HEAD")
        connection = await _send(pool, request, answer, limits.connect)
        try:
            await connection.wait_for_head(answer, limits.first_byte)
        except BaseException:  # Cancelled, too: a connection in the middle of an answer serves nobody else.
            connection.abort()
            raise
        return Http1Response(answer, connection, pool, limits.between_chunks)

    async def close(self) -> None:
        """Close all connections; what is in flight breaks."""
        for pool in self._pools.values():
            await pool.close()

    def _add_pool(self, origin: Origin) -> Pool:
        pool = Pool(origin, self._pooling, self._tls if origin.scheme == "https" else None)
        self._pools[origin] = pool
        return pool


class Http1Response:
    """Implements :class:`gateway.upstream.client.UpstreamResponse`."""

    __slots__ = ("_answer", "_connection", "_patience", "_pool", "headers", "status")

    def __init__(self, answer: Answer, connection: Connection, pool: Pool, patience: float) -> None:
        self.status = answer.status
        self.headers: Headers = answer.headers
        self._answer = answer
        self._connection: Connection | None = connection
        self._pool = pool
        self._patience = patience

    async def chunk(self) -> bytes:
        """Give all of the body that has come since the last time, or wait for more; empty at its proper end.

        Raises:
            UpstreamTimeout, UpstreamBroken
        """
        connection = self._connection
        if connection is None:
            return b""
        answer = self._answer
        if not answer.buffered and not answer.is_complete:
            try:
                await connection.wait_for_body(answer, self._patience)
            except BaseException:  # Cancelled, too, as above.
                connection.abort()
                raise
        piece = answer.take()
        if answer.is_complete:
            self._end(connection)
        else:
            connection.resume()
        return piece

    async def read(self) -> bytes:
        """Give the rest of the body.

        Raises:
            UpstreamTimeout, UpstreamBroken
        """
        pieces = [await self.chunk()]
        while self._connection is not None:
            pieces.append(await self.chunk())
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def abort(self) -> None:
        """Close the connection at once, unless the answer has been read to its end."""
        if self._connection is not None:
            self._connection.abort()

    def __del__(self) -> None:
        # Nobody can read the answer any more, so nobody would ever give the connection back.
        if self._connection is not None:
            self._connection.close_from_any_thread()

    def _end(self, connection: Connection) -> None:
        self._connection = None
        connection.resume()
        self._pool.give_back(connection, self._answer.keep_alive_seconds)


async def _send(pool: Pool, request: bytes, answer: Answer, connect_seconds: float) -> Connection:
    """Send on an idle connection or on a new one. Idle ones that are found closed are passed over; nothing has left."""
    while (idle := pool.take()) is not None:
        if idle.send(request, answer):
            return idle
    connection = await pool.connect(connect_seconds)
    if not connection.send(request, answer):
        raise UpstreamUnreachable("the upstream closed the connection before anything was sent")
    return connection
