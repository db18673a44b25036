"""A TCP proxy in front of a store: it may be slow, silent, one-way, or gone, while the store itself lives on."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

PIECE_BYTES = 64 * 1024


@dataclass(slots=True)
class _Weather:
    """What happens to bytes now."""

    delay_seconds: float = 0.0
    deaf: bool = False
    """Nothing that clients send arrives."""
    mute: bool = False
    """Nothing that the store answers arrives."""
    answer_bytes: int | None = None
    """After so many more bytes of answers every connection is reset."""


@dataclass(eq=False, slots=True)
class _Link:
    client: asyncio.StreamWriter
    store: asyncio.StreamWriter
    lost: bool = False
    """Bytes of it have been swallowed: it can only be cut."""

    def cut(self) -> None:
        for writer in (self.client, self.store):
            writer.transport.abort()


class Proxy:
    """Listens on ``port`` and passes on to ``target``."""

    def __init__(self, port: int, target: int) -> None:
        self.target = target
        self._port = port
        self._weather = _Weather()
        self._links: set[_Link] = set()
        self._listener: asyncio.Server | None = None

    async def listen(self) -> None:
        """Begin to listen, where it does not yet."""
        if self._listener is None:
            self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self._port, backlog=1024)

    async def cut(self) -> None:
        """Reset every connection; new ones are served."""
        self._cut_now()

    async def refuse(self) -> None:
        """Reset every connection and refuse new ones, as a host without the server does."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._cut_now()

    async def delay(self, seconds: float) -> None:
        """Hold back everything that passes, each way, for so long."""
        self._weather.delay_seconds = seconds

    async def blackhole(self) -> None:
        """Take every byte and connection, and pass nothing on: no answer, no reset."""
        self._weather.deaf = self._weather.mute = True

    async def half_open(self) -> None:
        """What clients send arrives and is done; its answers do not come back."""
        self._weather.mute = True

    async def cut_after(self, answer_bytes: int) -> None:
        """Pass so many more bytes of answers, in all, then reset every connection; new ones are served."""
        self._weather.answer_bytes = answer_bytes

    async def point_at(self, target: int) -> None:
        """New connections go to another server, as an address that moves does. Old ones stay where they are."""
        self.target = target

    async def heal(self) -> None:
        """Pass everything on again. A connection that has lost bytes is reset."""
        self._weather = _Weather()
        for link in tuple(self._links):
            if link.lost:
                link.cut()
        await self.listen()

    def _cut_now(self) -> None:
        for link in tuple(self._links):
            link.cut()

    async def _accept(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        try:
            store_in, store_out = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            client_out.transport.abort()
            return
        link = _Link(client_out, store_out)
        self._links.add(link)
        ways = [
            asyncio.create_task(self._pass_on(link, client_in, store_out, answers=False)),
            asyncio.create_task(self._pass_on(link, store_in, client_out, answers=True)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        link.cut()
        await asyncio.wait(ways)
        self._links.discard(link)

    async def _pass_on(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(PIECE_BYTES):
                if self._weather.delay_seconds:
                    await asyncio.sleep(self._weather.delay_seconds)
                if self._weather.mute if answers else self._weather.deaf:
                    link.lost = True
                    continue
                writer.write(self._counted(data) if answers else data)
                await writer.drain()

    def _counted(self, data: bytes) -> bytes:
        left = self._weather.answer_bytes
        if left is None:
            return data
        self._weather.answer_bytes = left - len(data)
        if left - len(data) > 0:
            return data
        self._weather.answer_bytes = None
        asyncio.get_running_loop().call_soon(self._cut_now)
        return data[:left]
