"""Keeping the spool: what the ledger has is dropped, what it has not is sent again, the dead are adopted."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import cast

import structlog

from apps.core.errors import LeakyError, StoreUnavailable
from gateway import metrics
from gateway.control_plane import MARK_FIELDS, Database, JournalEnding, Stamp, decode_mark, mark_key
from gateway.metrics import tally
from gateway.spool import Spool, boot_ms
from gateway.spool_file import SpoolFile, files_in
from gateway.valkey_cluster import Store

log = structlog.get_logger("gateway.spool")

POLL_SECONDS = 1.0
REPORT_SECONDS, ADOPT_SECONDS = 3.0, 15.0
MOST_AT_ONCE = 200
"""Ends that are sent again together."""

Send = Callable[[JournalEnding], Awaitable[object]]


class SpoolKeeper:
    """Looks after one spool. Everything it does may be repeated, and each step may be the last of its process."""

    def __init__(self, spool: Spool, store: Store, database: Database) -> None:
        self._spool = spool
        self._store = store
        self._database = database
        self._host = socket.gethostname()
        self._stamp: Stamp | None = None
        self._dead: list[SpoolFile] = []
        self._next_report = self._next_adoption = 0.0

    @property
    def is_known(self) -> bool:
        """Whether the ledger knows of the spool; before that no call is admitted."""
        return self._spool.is_registered

    async def keep_forever(self, send: Send) -> None:
        """All of it, again and again; ``send`` settles a call again."""
        loop = asyncio.get_running_loop()
        while True:
            if not self._spool.is_registered:
                await self._step(self.register())
            await self._step(self._read_marks())
            await self._step(self._send_again(send))
            if loop.time() >= self._next_adoption:
                self._next_adoption = loop.time() + ADOPT_SECONDS
                await self._step(self._adopt())
            if loop.time() >= self._next_report:
                self._next_report = loop.time() + REPORT_SECONDS
                await self._step(self._report())
            await asyncio.sleep(POLL_SECONDS)

    async def _step(self, work: Awaitable[None]) -> None:
        try:
            await work
        except (LeakyError, OSError) as error:
            log.warning("spool.delayed", reason=str(error), pending=len(self._spool.book))

    async def register(self) -> None:
        """Make the spool known, before a call is admitted: a ledger that does not know it would not wait for it.

        Raises:
            StoreUnavailable
        """
        self._stamp = await self._database.register_spool(self._spool.id, self._host)
        self._spool.is_registered = True

    async def _read_marks(self) -> None:
        shards = self._spool.book.shards()
        asked = [self._store.call("HMGET", mark_key(shard), *MARK_FIELDS) for shard in shards]
        replies = await asyncio.gather(*asked, return_exceptions=True)
        for shard, reply in zip(shards, replies, strict=True):
            if isinstance(reply, list):
                self._spool.cover(shard, decode_mark(cast("list[bytes | None]", reply)))
        self._spool.rotate()
        tally.spool_pending = len(self._spool.book)
        tally.spool_age_s = (self._spool.book.oldest_age_ms(boot_ms()) or 0) / 1000

    async def _send_again(self, send: Send) -> None:
        due = self._spool.book.due(boot_ms())
        while endings := list(islice(due, MOST_AT_ONCE)):
            tally.count(metrics.RESENT, amount=len(endings))
            replies = await asyncio.gather(*(send(ending) for _, ending in endings), return_exceptions=True)
            for reply in replies:
                if isinstance(reply, BaseException):
                    raise reply

    async def _adopt(self) -> None:
        """Take over the calls of dead processes, and end their spools once the ledger knows that we wait for them."""
        for path in files_in(self._spool.file.path.parent):
            if path != self._spool.file.path and (file := SpoolFile.adopt(path)) is not None:
                calls = await self._take_over(file)
                log.info("spool.adopted", spool=path.stem, calls=calls)
        if not self._dead or self._stamp is None:
            return
        await self._report()
        while self._dead:
            await self._database.close_spool(self._dead[-1].path.stem)
            self._dead.pop().remove()

    async def _take_over(self, file: SpoolFile) -> int:
        try:
            calls = self._spool.adopt(await asyncio.to_thread(lambda: list(file.lines())))
        except BaseException:  # Cancelled, too: a file that stays locked is adopted by nobody.
            file.close()
            raise
        self._dead.append(file)
        return calls

    async def _report(self) -> None:
        """As of the answer before: what is computed now may be long past when it arrives, if we freeze meanwhile."""
        if self._stamp is None:
            return
        age_ms = self._spool.book.oldest_age_ms(boot_ms())
        self._stamp = await self._database.report_spool(
            self._spool.id, self._host, oldest_age_ms=age_ms, pending=len(self._spool.book), as_of=self._stamp
        )

    async def close(self, seconds: float) -> None:
        """Wait until the ledger has everything, for ``seconds`` at most; else the spool is left to others."""
        try:
            async with asyncio.timeout(seconds):
                while len(self._spool.book):
                    await self._step(self._read_marks())
                    await asyncio.sleep(POLL_SECONDS / 10)
                await self._database.close_spool(self._spool.id)
            self._spool.file.remove()
        except (TimeoutError, StoreUnavailable):
            log.warning("spool.left", spool=self._spool.id, pending=len(self._spool.book))
            self._spool.file.close()
        for file in self._dead:
            file.close()
