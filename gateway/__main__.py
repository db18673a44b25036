"""``python -m gateway``: one gateway process. More of them may share the port; the kernel spreads connections."""

import os
import signal
import socket
import sys

import uvicorn

from gateway import settings
from gateway.server.connection import Connection


def main() -> None:
    """Listen, serve, and on SIGTERM finish what has begun and leave with code 0."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leaky_tokens.settings.prod")
    # uvicorn handles both while it runs, and raises them again when it is done: this is what they then meet.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    listener = _listener(settings.HOST, settings.PORT)
    config = uvicorn.Config(
        "gateway.asgi:application",
        loop="uvloop",
        http=Connection,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_graceful_shutdown=round(settings.DRAIN_SECONDS),
        backlog=4096,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    listener.listen(4096)
    return listener


if __name__ == "__main__":
    main()
