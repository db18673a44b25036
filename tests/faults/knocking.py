"""Load on several gateways with one credential: which requests were let in, and when each of them began."""

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

CONNECTIONS = 3
INTERVAL_SECONDS = 0.01
"""Between the beginnings of two requests of a connection, so that the load leaves a machine of two cores some room."""


@dataclass(frozen=True, slots=True)
class Knock:
    """One request: at which gateway, when it began and was answered (monotonic, in seconds), and the status."""

    gateway: int
    began: float
    answered: float
    status: int


class Knocking:
    """While it is open, so many connections per gateway ask for the list of models, a hundred times a second each."""

    def __init__(self, urls: Sequence[str], credential: str) -> None:
        self._addresses = [urlsplit(url) for url in urls]
        self._request = (
            f"GET /v1/models HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {credential}\r\n\r\n".encode()
        )
        self.knocks: list[Knock] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._knock_at_all()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        self._thread.join()

    def accepted(self, *, after: float = 0.0) -> list[Knock]:
        """Requests that began after this moment and were let in."""
        return [knock for knock in self.knocks.copy() if knock.status == 200 and knock.began > after]

    def refused_everywhere(self, *, after: float) -> bool:
        """Whether every gateway has by now refused a request that began after this moment."""
        refusing = {knock.gateway for knock in self.knocks.copy() if knock.status == 401 and knock.began > after}
        return len(refusing) == len(self._addresses)

    def accepted_everywhere(self) -> bool:
        """Whether every gateway has let a request in, so that all of them know the credential."""
        return len({knock.gateway for knock in self.accepted()}) == len(self._addresses)

    async def _knock_at_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for gateway in range(len(self._addresses)):
                for _ in range(CONNECTIONS):
                    group.create_task(self._knock_at(gateway))

    async def _knock_at(self, gateway: int) -> None:
        address = self._addresses[gateway]
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        while not self._stopping.is_set():
            began = time.monotonic()
            writer.write(self._request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            self.knocks.append(Knock(gateway, began, time.monotonic(), int(head.split(b" ")[1])))
            await asyncio.sleep(began + INTERVAL_SECONDS - time.monotonic())
        writer.close()
        await writer.wait_closed()
