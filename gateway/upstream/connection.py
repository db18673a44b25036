"""One connection to an upstream, which carries one exchange after the other.

It moves bytes between a transport and an :class:`Answer` and lets one task wait for them. Everything about time is one
timer per connection: a deadline is only a number, and the timer, when it fires, looks whether the deadline has moved
on. So a call that comes back in time costs no timer at all.
"""

import asyncio
import math
import select
from collections.abc import Callable
from typing import cast

from gateway.upstream.answer import Answer
from gateway.upstream.client import UpstreamBroken, UpstreamError, UpstreamTimeout

READ_AHEAD_BYTES = 64 * 1024
"""Above this, reading from the provider pauses until the caller has taken what is there."""

_PEER_HAS_LEFT = getattr(select, "POLLRDHUP", 0)


class Connection(asyncio.Protocol):
    """An established connection. ``on_lost`` is called once, when it is gone."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_lost: Callable[["Connection"], None]) -> None:
        self._loop = loop
        self._on_lost = on_lost
        self._transport: asyncio.Transport
        self._poller = select.poll()
        self._answer: Answer | None = None
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._is_paused = False
        self._deadline = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    # What the client does.

    def is_alive(self) -> bool:
        """Say whether the connection is open as far as this machine knows at this instant.

        The kernel is asked, because the provider's FIN may have arrived in the tick in which we are about to write.
        """
        return not self._transport.is_closing() and not self._poller.poll(0)

    def send(self, request: bytes, answer: Answer) -> bool:
        """Write a request. False: the connection was found closed and not one byte has left, so another may be used.

        That is the only case that may be repeated. Once the kernel has taken a byte, the provider may have received
        all of the request and begun to work for it; that no answer came back proves nothing. A model call costs money
        and is not idempotent: sending it twice is worse than failing once.
        """
        if not self.is_alive():
            self.abort()
            return False
        self._answer = answer
        self._transport.write(request)
        return not self._transport.is_closing()

    async def wait_for_head(self, answer: Answer, seconds: float) -> None:
        """Wait until the answer's head is there.

        Raises:
            UpstreamTimeout, UpstreamBroken
        """
        self._arm(seconds)
        while not answer.has_head:
            await self._wait()
        self._deadline = math.inf

    async def wait_for_body(self, answer: Answer, seconds: float) -> None:
        """Wait until there is a piece of the body, or its end.

        Raises:
            UpstreamTimeout, UpstreamBroken
        """
        self._arm(seconds)
        while not answer.buffered and not answer.is_complete:
            await self._wait()
        self._deadline = math.inf

    def resume(self) -> None:
        """Read on, after the caller has taken what was buffered."""
        if self._is_paused and not self._transport.is_closing():
            self._is_paused = False
            self._transport.resume_reading()

    def finish(self) -> bool:
        """End an exchange whose answer was read to its end. Say whether the connection may carry another one."""
        answer, self._answer = self._answer, None
        if answer is None:
            return False
        answer.close()
        # An answer that came before we had sent everything leaves a rest that the next exchange would begin with.
        is_reusable = answer.keep_alive and not self._transport.get_write_buffer_size()
        return is_reusable and not self._transport.is_closing()

    def rest(self, seconds: float) -> None:
        """Be idle, for so long at most."""
        self._arm(seconds)

    def abort(self) -> None:
        """Close at once. Whoever waits here is told that the connection broke."""
        self._fail(UpstreamBroken("the connection was aborted"))

    def close_from_any_thread(self) -> None:
        """Close, when no task holds the exchange any more: the collector may run in a thread that is not the loop's."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.abort)

    # What the loop does.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._poller.register(transport.get_extra_info("socket").fileno(), _PEER_HAS_LEFT)

    def data_received(self, data: bytes) -> None:
        """Feed the answer, and hold the provider back when nobody takes it."""
        answer = self._answer
        if answer is None or answer.is_complete:
            # Nobody asked. What it is does not matter, but it must never become the next caller's answer.
            self._transport.abort()
            return
        try:
            answer.feed(data)
        except UpstreamBroken as error:
            self._fail(error)
            return
        if answer.buffered > READ_AHEAD_BYTES and not answer.is_complete:
            self._is_paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """The provider has sent all that it will send. The transport then closes by itself."""
        if self._answer is None:
            return
        try:
            self._answer.end()
        except UpstreamBroken as error:
            self._fail(error)
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone. Without an end of the answer before it, the answer is broken."""
        if self._timer is not None:
            self._timer.cancel()
        if self._answer is not None:
            self._answer.close()
        if self._error is None:
            self._error = UpstreamBroken(f"the connection was lost: {exc or 'closed'}")
        self._wake()
        self._on_lost(self)

    # What they share.

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        await self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: UpstreamError) -> None:
        if self._error is None:
            self._error = error
        self._wake()
        self._transport.abort()

    def _arm(self, seconds: float) -> None:
        self._deadline = self._loop.time() + seconds
        if self._deadline < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._set_timer()

    def _set_timer(self) -> None:
        self._timer_at = self._deadline
        self._timer = self._loop.call_at(self._deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, math.inf
        if self._loop.time() < self._deadline:
            if self._deadline < math.inf:
                self._set_timer()
        elif self._answer is None:
            self._transport.close()
        else:
            what = "next chunk" if self._answer.has_head else "head"
            self._fail(UpstreamTimeout(f"the answer's {what} did not come in time"))
