"""Short words for what nearly every test here does."""

import asyncio

from gateway.upstream.client import Limits, UpstreamClient, UpstreamError, UpstreamResponse
from tests.functional.upstream.server import RawServer

SHORT = Limits(connect=5, first_byte=5, between_chunks=5)


async def ask(
    client: UpstreamClient, server: RawServer, limits: Limits = SHORT, method: bytes = b"POST", body: bytes = b"{}"
) -> UpstreamResponse:
    """Send a request as the gateway does."""
    headers = [(b"authorization", b"Bearer x")]
    return await client.request(server.origin, method, b"/v1/chat/completions", headers, body, limits)


async def read(client: UpstreamClient, server: RawServer, limits: Limits = SHORT) -> bytes:
    """Send a request and read the whole answer."""
    return await (await ask(client, server, limits)).read()


async def received_until_error(response: UpstreamResponse) -> tuple[bytes, UpstreamError]:
    """Read until it fails, as it must."""
    received = b""
    while True:
        try:
            piece = await response.chunk()
        except UpstreamError as error:
            return received, error
        assert piece, "a clean end where none was"
        received += piece


async def left_within(server: RawServer, seconds: float) -> float:
    """Wait until the client has left the server's last connection; give the seconds that it took."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    async with asyncio.timeout(seconds):
        await server.peers[-1].left.wait()
    return loop.time() - begin
