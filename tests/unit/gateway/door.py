"""The gateway's shell with a service behind it, driven as its server drives it: what it sends, a test reads."""

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

import orjson

from apps.core.http import internal_token
from apps.core.http.caller import Caller
from gateway import shell
from gateway.control_plane import Principal
from gateway.errors import unauthorized
from gateway.exchange import Exchange
from gateway.passthrough import Services
from gateway.server.request import Head, Header, Line, Request
from gateway.upstream.client import Origin

USER, ORG = UUID(int=7), UUID(int=8)
KEY = base64.b64encode(bytes(range(32))).decode()
PUBLIC = internal_token.verification_keys([internal_token.public_key_of(KEY)])
GOOD = b"Bearer good"
HOST = b"api.example.org:8443"


class Doorkeeper:
    """Knows one credential, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def principal(self, exchange: Exchange) -> Principal:
        """Whose it is.

        Raises:
            ApiError: 401, nobody's.
        """
        self.asked += 1
        if exchange.header(b"authorization") != GOOD:
            raise unauthorized()
        return Principal(
            "a-session", USER, "user", USER, None, "free", None, None,
            kind="jwt", roles=("ADMIN", "USER"), scopes=frozenset({"inference"}), bound_org_id=ORG,
        )  # fmt: skip


@dataclass
class Answer:
    """What the client got. ``whole`` says that the body came to its proper end."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    whole: bool = False

    def all(self, name: bytes) -> list[bytes]:
        """All values of a header."""
        return [value for key, value in self.headers if key == name]

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def json(self) -> dict[str, Any]:
        return dict(orjson.loads(self.body))


class Wire:
    """A connection whose client reads everything."""

    default_headers: tuple[tuple[bytes, bytes], ...] = ()
    drained = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def write(self, data: bytes) -> None:
        """Nobody listens."""

    def stop_reading(self) -> None:
        """It does not."""

    def read_on(self) -> None:
        """It does."""

    def finish(self, request: Request) -> None:
        """It stays open."""


class Recorded(Request):
    """A request that keeps what it is answered."""

    def __init__(self, line: Line, head: Head, pieces: asyncio.Queue[bytes]) -> None:
        super().__init__(line, head)
        self._pieces = pieces
        self.recorded = Answer()

    def answer(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        self.begin(status, headers)
        self.send(b"" if self.head.method == "HEAD" else body)
        self.end()

    def begin(self, status: int, headers: Sequence[Header]) -> None:
        super().begin(status, headers)
        self.recorded.status, self.recorded.headers = status, list(headers)

    def send(self, piece: bytes) -> None:
        super().send(piece)
        self.recorded.pieces.append(piece)
        self._pieces.put_nowait(piece)

    def end(self) -> None:
        super().end()
        self.recorded.whole = True


class Door:
    """What the shell needs of a gateway for calls that it passes on."""

    def __init__(self, origin: Origin) -> None:
        url = f"http://{origin.host}:{origin.port}"
        self.services = Services([f"{name}={url}" for name in ("auth", "token", "analytics")], KEY)
        self.authenticator = Doorkeeper()
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self.leave = asyncio.Event()

    async def call(
        self, path: str, method: str = "GET", headers: tuple[tuple[bytes, bytes], ...] = (), body: bytes = b"",
        query: bytes = b"", raw_path: bytes | None = None,
    ) -> Answer:  # fmt: skip
        """Send a request; when ``leave`` is set, the client leaves."""
        raw_path = path.encode() if raw_path is None else raw_path
        head = Head(method, path, raw_path, query, "192.0.2.7", [(b"host", HOST), *headers])
        request = Recorded(Wire(), head, self.pieces)
        request.feed(body)
        request.feed_end()
        leaving = asyncio.create_task(self._leave(request))
        await shell.handle(cast("Any", self), request)
        leaving.cancel()
        return request.recorded

    async def _leave(self, request: Request) -> None:
        await self.leave.wait()
        request.lose()


@dataclass(frozen=True, slots=True)
class Passed:
    """A request as the service received it."""

    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @classmethod
    def of(cls, request: bytes) -> "Passed":
        """Read the bytes."""
        head, _, body = request.partition(b"\r\n\r\n")
        line, *rest = head.split(b"\r\n")
        headers = [(name.lower(), value) for name, _, value in (one.partition(b": ") for one in rest)]
        return cls(line, headers, body)

    def get(self, name: bytes) -> bytes | None:
        """The only value of a header; None without one."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1
        return values[0] if values else None

    def caller(self, service: str = "auth") -> Caller:
        """For whom the gateway vouches to ``service``."""
        return internal_token.verify((self.get(b"x-leaky-identity") or b"").decode(), PUBLIC, [service])
