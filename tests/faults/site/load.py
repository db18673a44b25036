"""Load on a site while a test harms it: plain calls at a rate, some streams at any time; many payers, all gateways."""

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.functional.payers import Payer, eventually
from tests.functional.raw_client import RawCall, send

HOT_SHARE = 0.3
"""The part of the calls that the first payer makes."""

RAN_OUT, AWAY = (429, "insufficient_quota"), (503, "quota_unavailable")
"""Statuses, with the code of the error."""

LEAVE_SECONDS = 20
"""How long calls under way may take once nothing new is sent."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the load. ``status`` is 0 where no head came; ``whole`` says that the answer came to its end."""

    request_id: str
    payer: Payer
    gateway: int
    stream: bool
    tokens: int
    began: float
    answered: float
    status: int
    code: str
    whole: bool


class Load:
    """While it is open it sends. Afterwards :attr:`calls` has every call that was sent.

    Calls may generate ``spare`` times what they do, so that a part of each hold comes back.
    """

    def __init__(
        self,
        urls: Sequence[str],
        payers: Sequence[Payer],
        *,
        rate: float = 25,
        streams: int = 8,
        spare: int = 2,
        seed: int = 1,
    ) -> None:
        self.calls: list[Call] = []
        self._urls = urls
        self._payers = payers
        self._interval = 1 / rate
        self._streams = streams
        self._spare = spare
        self._choice = random.Random(seed)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._send_all()), name="load")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        self._thread.join()

    def served(self, *, after: float = 0.0, payer: Payer | None = None) -> list[Call]:
        """Calls that began after this moment and were answered by 200."""
        return [call for call in self.since(after) if call.status == 200 and payer in (None, call.payer)]

    def since(self, moment: float) -> list[Call]:
        """Calls that have ended, of those that began after this moment."""
        return [call for call in self.calls.copy() if call.began > moment]

    def statuses(self, *, after: float = 0.0) -> Counter[tuple[int, str]]:
        """How often each status and code was answered."""
        return Counter((call.status, call.code) for call in self.since(after))

    def runs_well(self, calls: int = 20) -> None:
        """Return when so many more calls have been served."""
        self.until(lambda since: len(self.served(after=since)) >= calls)

    def runs_out(self) -> None:
        """Return when somebody's tokens have run out, or what is left of them is in doubt.

        Until then nothing can be oversold.
        """
        self.until(lambda since: self.statuses()[RAN_OUT] or self.statuses(after=since)[AWAY])

    def until(self, condition: Callable[[float], object]) -> None:
        """Return when the condition holds; it is given the present moment, after which calls are to be looked at."""
        now = time.monotonic()
        assert eventually(lambda: condition(now)), self.statuses(after=now)

    async def _send_all(self) -> None:
        async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:
            for _ in range(self._streams):
                group.create_task(self._stream_after_stream())
            due = time.monotonic()
            while not self._stopping.is_set():
                group.create_task(self._one(stream=False))
                due = max(due + self._interval, time.monotonic() - 1)
                await asyncio.sleep(due - time.monotonic())
            limit.reschedule(asyncio.get_running_loop().time() + LEAVE_SECONDS)

    async def _stream_after_stream(self) -> None:
        while not self._stopping.is_set():
            if not await self._one(stream=True):
                await asyncio.sleep(self._interval)

    async def _one(self, *, stream: bool) -> bool:
        """One call from its sending to its end; whether it was served."""
        hot = self._choice.random() < HOT_SHARE
        payer = self._payers[0] if hot else self._choice.choice(self._payers)
        gateway = self._choice.randrange(len(self._urls))
        tokens = self._choice.randint(10, 60) if stream else self._choice.randint(5, 20)
        if stream and payer.grows:
            tokens *= 3
        orders = {"chunk-delay-ms": 50} if stream else {"delay-ms": self._choice.randint(0, 60)}
        began = time.monotonic()
        with suppress(OSError):
            call = await send(
                self._urls[gateway], payer, tokens=tokens, cap=self._spare * tokens, stream=stream, orders=orders
            )
            code = await _read(call)
            whole = call.whole and (not stream or call.events[-1:] == [b"[DONE]"])
            answered = time.monotonic()
            self.calls.append(
                Call(call.request_id, payer, gateway, stream, tokens, began, answered, call.status, code, whole)
            )
            return call.status == 200
        return False


async def _read(call: RawCall) -> str:
    """Read an answer as far as it comes, and leave; the code of its error, if it is one."""
    code = ""
    with suppress(OSError, asyncio.IncompleteReadError):
        await call.head()
        if "content-length" in call.headers:
            body = json.loads(await call.body())
            call.whole = True
            code = str(body.get("error", {}).get("code", ""))
        else:
            await call.read_on()
    await call.leave()
    return code
