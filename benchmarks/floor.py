"""``python -m benchmarks.floor PORT [asgi]``: an application that answers by itself, on the gateway's server.

No client, no limits, no bank: what this costs, no gateway on the same server can save. With ``asgi`` it is a raw ASGI
application under uvicorn's own protocol, which the gateway's was until ADR 9.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

from benchmarks import workload
from gateway.server.connection import Connection
from gateway.server.request import Request

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ANSWER = workload.completion()
CHUNKS = workload.stream_chunks()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body, then answer whole or in timed chunks as the body asks."""
    body = b""
    while scope["method"] == "POST":
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    if b'"stream":true' in body:
        await _stream(send)
    else:
        await _answer(send)


async def _answer(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


async def _stream(send: Send) -> None:
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for chunk in CHUNKS:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await asyncio.sleep(workload.CHUNK_INTERVAL_MS / 1000)
    await send({"type": "http.response.body", "body": b""})


class Answering:
    """The same behind the gateway's own protocol."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry, which uvicorn wants to see."""

    async def serve(self, request: Request) -> None:
        """Read the body, then answer."""
        body, more = b"", request.head.method == "POST"
        while more:
            piece, more = await request.read()
            body += piece
        if b'"stream":true' in body:
            request.begin(200, [(b"content-type", b"text/event-stream")])
            for chunk in CHUNKS:
                request.send(chunk)
                await asyncio.sleep(workload.CHUNK_INTERVAL_MS / 1000)
            request.end()
            return
        length = (b"content-length", b"%d" % len(ANSWER))
        request.answer(200, [(b"content-type", b"application/json"), length], ANSWER)


if __name__ == "__main__":
    is_asgi = "asgi" in sys.argv
    uvicorn.run(
        application if is_asgi else Answering(), host="127.0.0.1", port=int(sys.argv[1]),
        loop="uvloop", http="httptools" if is_asgi else Connection, lifespan="off", access_log=False,
        log_level="warning", proxy_headers=False,
    )  # fmt: skip
