"""How long ago what we remember was known to be true, and what to do when that is too long ago.

A gateway hears of changes within milliseconds and compares versions twice a second besides, so normally this is two
readings of a clock. It matters after a freeze (a stopped process, a paused machine): whoever goes on after ten seconds
must not admit one call on what was true before. So nothing remembered is believed unless a comparison that *began*
within the last two intervals found it equal; else the request waits for one.

While PostgreSQL does not answer, no comparison can succeed, and refusing everybody would turn its outage into ours.
What is remembered is then believed on, for ``outage_s`` since the last success at most: nobody can commit a
revocation to a database that is away, and a gateway that alone is cut off from it cannot place holds there either.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from apps.core.errors import StoreUnavailable

PATIENCE_SECONDS = 1.0
"""How long a request waits for a comparison before PostgreSQL counts as away."""
RETRY_SECONDS = 0.05


class Freshness:
    """The moment up to which memory is known to be right, by the monotonic clock.

    ``tolerated_s``: how old that moment may be; ``outage_s``: the same while PostgreSQL does not answer.
    """

    def __init__(self, compare: Callable[[], Awaitable[None]], *, tolerated_s: float, outage_s: float) -> None:
        self._compare = compare
        self._tolerated_s = tolerated_s
        self._outage_s = outage_s
        self._right_at = self._away_at = float("-inf")
        self._failures = 0
        self._comparing: asyncio.Task[None] | None = None

    def is_fresh(self) -> bool:
        """Whether memory may be believed as it is."""
        # Not the event loop's time, which stands still within one turn of the loop: a freeze may fall into it.
        return time.monotonic() - self._right_at <= self._tolerated_s

    async def compare(self) -> None:
        """Compare versions and take over what has changed. Everybody who asks meanwhile waits for the same one.

        Raises:
            StoreUnavailable: PostgreSQL did not answer.
        """
        if self._comparing is None or self._comparing.done():
            self._comparing = asyncio.create_task(self._timed_comparison())
        await asyncio.shield(self._comparing)

    async def freshen(self) -> None:
        """Return when memory may be believed: after a comparison, or because PostgreSQL is away.

        Raises:
            StoreUnavailable: it has been away for too long.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (self.is_fresh() or self._is_away()):
            left = deadline - time.monotonic()
            if left > 0:
                await self._try_once(left)
            else:
                self._away_at = time.monotonic()
        if time.monotonic() - self._right_at > self._outage_s:
            raise StoreUnavailable("what is remembered is too old to be believed")

    def _is_away(self) -> bool:
        return time.monotonic() - self._away_at <= self._tolerated_s

    async def _timed_comparison(self) -> None:
        began = time.monotonic()
        try:
            await self._compare()
        except StoreUnavailable:
            # One failure says little: after a freeze connections are often dead, and the next attempt opens others.
            self._failures += 1
            if self._failures > 1:
                self._away_at = time.monotonic()
            raise
        self._right_at, self._failures = began, 0

    async def _try_once(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.compare()
        except (StoreUnavailable, TimeoutError):
            await asyncio.sleep(min(RETRY_SECONDS, seconds))
