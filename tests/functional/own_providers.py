"""Providers of a test's own: the stub behind a recorded wire or with short limits, or one that says anything."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, TCPServer, ThreadingTCPServer
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
from httptools import HttpResponseParser

from apps.providers import services as catalogue
from apps.providers.api import Offer
from apps.providers.models import Model, Provider, Upstream
from tests.functional.payers import Payer, eventually

STUB_MODEL = "gpt-4o-mini"
ORDERS = ["x-stub-chunk-delay-ms", "x-stub-fault", "x-stub-tokens"]


@contextmanager
def provider_at(url: str, **limits_ms: int) -> Iterator[str]:
    """A provider that is reached at ``url``, and its one model; both have this name. Switched off afterwards."""
    name = f"own-{uuid4().hex[:12]}"
    catalogue.open_provider(name, name, "openai", ["*"])
    upstream = Upstream(provider_id=name, name="own", base_url=f"{url}/v1", forward_headers=ORDERS, **limits_ms)
    catalogue.save_upstream(upstream, "sk-stub-own")
    catalogue.open_model(name, Offer(name, "chat", "o200k_base", 128_000, 16_384, 1, 1, 1))
    model = Model.objects.get(name=name)
    model.upstream_name = STUB_MODEL
    catalogue.save(model)
    yield name
    catalogue.switch(Provider, [name], enabled=False)


@contextmanager
def served(server: TCPServer) -> Iterator[str]:
    """The server at work in a thread of its own, by its URL."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Saying(ThreadingHTTPServer):
    """Answers every call with the same status and body."""

    def __init__(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        super().__init__(("127.0.0.1", 0), _Sayer)
        self.status = status
        self.body = body
        self.content_type = content_type


class _Sayer(BaseHTTPRequestHandler):
    server: Saying
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.server.status)
        self.send_header("content-type", self.server.content_type)
        self.send_header("content-length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        """The gateway's log is the one to read."""


class Wire(ThreadingTCPServer):
    """Passes bytes to a provider and back, and records what the provider said."""

    daemon_threads = True

    def __init__(self, url: str) -> None:
        super().__init__(("127.0.0.1", 0), _Pump)
        where = urlsplit(url)
        self.target = (where.hostname, where.port)
        self.said: list[bytes] = []

    def body_of_last(self) -> bytes:
        """The body of the last answer that went over the wire, and forget it."""
        read = _Body()
        HttpResponseParser(read).feed_data(b"".join(self.said))
        self.said.clear()
        return b"".join(read.pieces)


class _Body:
    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def on_body(self, piece: bytes) -> None:
        self.pieces.append(piece)


class _Pump(BaseRequestHandler):
    server: Wire

    def handle(self) -> None:
        with socket.create_connection(self.server.target) as provider:
            asking = threading.Thread(target=_pass_on, args=(self.request, provider))
            asking.start()
            with suppress(OSError):  # The gateway has left, as it may.
                while piece := provider.recv(65536):
                    self.server.said.append(piece)
                    self.request.sendall(piece)
            asking.join()


def _pass_on(asker: socket.socket, provider: socket.socket) -> None:
    with suppress(OSError):
        while piece := asker.recv(65536):
            provider.sendall(piece)
    with suppress(OSError):
        provider.shutdown(socket.SHUT_RDWR)


def known(gateway_url: str, payer: Payer, model: str) -> bool:
    """Whether the gateway has followed to a new model."""
    address, headers = f"{gateway_url}/v1/models/{model}", {"authorization": f"Bearer {payer.key}"}
    return eventually(lambda: httpx.get(address, headers=headers).status_code == 200)
