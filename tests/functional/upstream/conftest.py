"""Every test here runs on both event loops, and those that ask for ``client`` with both implementations."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
import uvloop

from gateway.upstream.aiohttp_client import AiohttpClient
from gateway.upstream.client import UpstreamClient
from gateway.upstream.http1 import Http1Client
from tests.functional.upstream.server import RawServer, Script

Serve = Callable[..., Awaitable[RawServer]]
MakeClient = Callable[..., UpstreamClient]

IMPLEMENTATIONS: dict[str, Callable[..., UpstreamClient]] = {"http1": Http1Client, "aiohttp": AiohttpClient}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start servers that are stopped with the test."""
    servers: list[RawServer] = []

    async def start(script: Script, tls: ssl.SSLContext | None = None) -> RawServer:
        server = RawServer(script, tls)
        servers.append(server)
        await server.start()
        return server

    yield start
    for server in servers:
        await server.stop()


async def _clients(implementation: str) -> AsyncIterator[MakeClient]:
    clients: list[UpstreamClient] = []

    def make(**arguments: Any) -> UpstreamClient:
        clients.append(IMPLEMENTATIONS[implementation](**arguments))
        return clients[-1]

    yield make
    for client in clients:
        await client.close()


@pytest.fixture(params=list(IMPLEMENTATIONS))
async def make_client(request: pytest.FixtureRequest) -> AsyncIterator[MakeClient]:
    """Make clients of either implementation, closed with the test."""
    async for make in _clients(request.param):
        yield make


@pytest.fixture
async def make_http1() -> AsyncIterator[MakeClient]:
    """Make clients of our own implementation, for what only it promises."""
    async for make in _clients("http1"):
        yield make


@pytest.fixture
async def client(make_client: MakeClient) -> UpstreamClient:
    return make_client()


@pytest.fixture
async def http1(make_http1: MakeClient) -> UpstreamClient:
    return make_http1()
