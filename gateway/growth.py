"""A stream's hold that grows with it, so that caps which are seldom reached keep nobody else's tokens from being spent.

RELIABILITY.md §3.4: it begins with one step of output, asks for the next when three quarters of what it holds are used,
and waits for the answer only when all of it is. A stream for which there is no more ends by "length".
"""

import asyncio

from apps.core.units import MILLI
from gateway.call import Call

LEAST_LOOK_BYTES = 16
"""Between two counts of a stream, however close to its hold it is."""


class Growth:
    """Keeps the hold of one stream ahead of what that has come to."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._asking: asyncio.Task[bool] | None = None
        self._was_refused = False
        self._is_over = False
        self._look_at = 0
        self._seen = 0
        self._margin = 0

    async def covers(self, size: int) -> bool:
        """Whether the hold covers what has been read, ``size`` bytes of text, and one more piece like the largest.

        A token is a byte at least, so most pieces need no count.
        """
        self._margin, self._seen = max(self._margin, size - self._seen), size
        if size < self._look_at or self._is_over:
            return True
        while (used := self._call.progress() + self._of_output(self._margin)) > self._held and not self._is_whole:
            if not await self._grown(used):
                return False
        if self._is_whole:
            self._is_over = True
        elif 4 * used > 3 * self._held and not self._was_refused:
            self._ask(used)
        self._look_at = size + max(self._bytes_until(used), LEAST_LOOK_BYTES)
        return True

    def stop(self) -> None:
        """The stream has ended, or is to: what there still is of it is read, and nothing more asked for."""
        self._is_over = True
        if self._asking is not None:
            self._asking.cancel()

    @property
    def _held(self) -> int:
        return self._call.reservation.demand.amount

    @property
    def _is_whole(self) -> bool:
        return self._held >= self._call.plan.bound.tokens

    def _of_output(self, provider_tokens: int) -> int:
        return -(-provider_tokens * self._call.plan.price.weights.output // MILLI)

    def _bytes_until(self, used: int) -> int:
        """How much text there can be until the next threshold at the least."""
        threshold = self._held if self._asking is not None or self._was_refused else 3 * self._held // 4
        return (threshold - used) * MILLI // max(self._call.plan.price.weights.output, 1)

    async def _grown(self, used: int) -> bool:
        """The answer to what was asked before, or, if that was refused, to asking again now that nothing is left."""
        asking = self._asking or self._ask(used)
        await asyncio.wait((asking,))
        return not asking.cancelled() and asking.result()

    def _ask(self, used: int) -> asyncio.Task[bool]:
        if self._asking is None:
            missing = max(used - self._held, 0) + self._call.plan.step
            tokens = min(missing, self._call.plan.bound.tokens - self._held)
            self._asking = asyncio.get_running_loop().create_task(self._call.hold_more(tokens))
            self._asking.add_done_callback(self._answered)
        return self._asking

    def _answered(self, asked: asyncio.Task[bool]) -> None:
        self._asking = None
        self._was_refused = asked.cancelled() or not asked.result()
        self._look_at = 0
