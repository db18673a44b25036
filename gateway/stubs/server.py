"""The server under every stub: uvicorn on uvloop, with the connection's transport within the application's reach."""

import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

Application = Callable[[Any, Any, Any], Awaitable[None]]


class ReachableTransport(HttpToolsProtocol):
    """Puts the transport into ``scope["state"]``: ASGI itself can neither reset a connection nor write nonsense."""

    def on_message_begin(self) -> None:
        """Extend the new request's scope."""
        super().on_message_begin()
        self.scope["state"]["transport"] = self.transport


def serve(application: Application, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, then leave within about a second with code 0."""
    # uvicorn handles both while it runs, and raises them again when it is done: this is what they then meet.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    uvicorn.run(
        application,
        host=host,
        port=port,
        http=ReachableTransport,
        loop="uvloop",
        ws="none",
        lifespan="off",
        interface="asgi3",
        backlog=4096,
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
