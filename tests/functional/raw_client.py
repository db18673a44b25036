"""A client without a library: it reads a stream event by event, and leaves exactly when a test wants it to."""

import asyncio
import json
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import uuid4

from tests.functional.payers import Payer

PROMPT = [{"role": "user", "content": "Tell me a story."}]


@dataclass
class RawCall:
    """A call that has been sent. ``arrivals`` has the monotonic time of each event read; ``whole`` says that the answer
    came to its proper end.
    """

    request_id: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    arrivals: list[float] = field(default_factory=list)
    events: list[bytes] = field(default_factory=list)
    whole: bool = False

    async def head(self) -> int:
        """Read status and headers; the status."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        self.status = int(lines[0].split(" ")[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:-2])}
        return self.status

    async def event(self) -> bytes:
        """The next event's data; empty when there will be none."""
        with suppress(ConnectionError):
            while line := await self.reader.readline():
                if line.startswith(b"data: "):
                    self.arrivals.append(time.monotonic())
                    self.events.append(line[6:].strip())
                    return self.events[-1]
                if line == b"0\r\n":
                    self.whole = True
                    return b""
        return b""

    async def read_on(self) -> "RawCall":
        """Read to the end, proper or not."""
        while await self.event():
            pass
        return self

    async def body(self) -> bytes:
        """The rest of a plain answer."""
        return await self.reader.readexactly(int(self.headers["content-length"]))

    async def leave(self, *, reset: bool = False) -> float:
        """Close the connection, or reset it; the monotonic time at which that was done."""
        if reset:
            self.writer.transport.abort()
        self.writer.close()
        left = time.monotonic()
        with suppress(ConnectionError):
            await self.writer.wait_closed()
        return left


async def send(
    gateway_url: str,
    payer: Payer,
    *,
    tokens: int,
    cap: int | None = None,
    stream: bool = True,
    orders: Mapping[str, str | int] | None = None,
    idempotency_key: str | None = None,
) -> RawCall:
    """Send a chat call that generates ``tokens`` tokens and may generate ``cap``, which is as many unless it is given.

    ``orders`` are the stub's, without their ``x-stub-``.
    """
    address = urlsplit(gateway_url)
    request_id = f"raw-{uuid4().hex}"
    body = json.dumps({"model": "gpt-4o-mini", "messages": PROMPT, "stream": stream, "max_tokens": cap or tokens})
    headers = {
        "host": address.netloc,
        "authorization": f"Bearer {payer.key}",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "x-request-id": request_id,
        "x-stub-tokens": str(tokens),
        **{f"x-stub-{name}": str(value) for name, value in (orders or {}).items()},
        **({"idempotency-key": idempotency_key} if idempotency_key else {}),
    }
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n{body}".encode())
    return RawCall(request_id, reader, writer)


async def abandon_after(call: RawCall, events: int, choice: random.Random) -> float:
    """Read so many events of a stream and leave, by FIN or by RST; the monotonic time at which that was done."""
    await call.head()
    for _ in range(events):
        await call.event()
    return await call.leave(reset=choice.random() < 0.5)


async def streams_in_their_midst(
    gateway_url: str, payer: Payer, *, streams: int, tokens: int, chunk_delay_ms: int, events: int = 1
) -> list[RawCall]:
    """Streams of ``tokens`` tokens, each read for so many events."""
    orders = {"chunk-delay-ms": chunk_delay_ms}
    calls = [await send(gateway_url, payer, tokens=tokens, orders=orders) for _ in range(streams)]
    for call in calls:
        await call.head()
        for _ in range(events):
            await call.event()
    return calls


async def read_to_their_ends(calls: list[RawCall]) -> None:
    """Read streams on, proper end or not, and leave."""
    for call in calls:
        await call.read_on()
        await call.leave()
