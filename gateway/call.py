"""An admitted call on its way: who may cut it, what it has used so far, and its one ending."""

import asyncio
from collections.abc import Callable

from apps.core.units import Usage
from gateway import metrics
from gateway.errors import ApiError, bad_gateway, unavailable, upstream_timeout
from gateway.exchange import ClientGoneError, Exchange
from gateway.metering import Completion, counted_usage, trusted_usage
from gateway.reservations import Ending, Reservation, Reservations
from gateway.upstream.client import UpstreamError, UpstreamTimeout, UpstreamUnreachable

CLIENT_CLOSED, DEADLINE, HOLD_LOST, SLOW_CLIENT = "client_closed", "timeout", "hold_lost", "slow_client"

STATUS_CLIENT_CLOSED = 499
"""nginx's number for a client that left; it is never sent, only logged and booked."""


class Call:
    """A hold in use. Whatever happens, :meth:`finish` books it exactly once."""

    def __init__(self, exchange: Exchange, reservations: Reservations, reservation: Reservation) -> None:
        self.exchange = exchange
        self.plan = reservation.plan
        self.reservation = reservation
        self._reservations = reservations
        self._stop: Callable[[], object] = lambda: None
        self._loop = asyncio.get_running_loop()
        self.cut_by: str | None = None
        self.first_byte_ms: int | None = None
        self.texts: list[tuple[int, str]] = []
        self._deadline: asyncio.TimerHandle | None = None
        reservation.on_lost = lambda: self.cut(HOLD_LOST)

    def expire_after(self, seconds: float) -> None:
        """Cut the call when it is ``seconds`` old, whatever it waits for then. The last word counts."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_at(self.exchange.started + seconds, self.cut, DEADLINE)

    def cut(self, reason: str) -> None:
        """End the call from outside: its client left, its time is up, or its hold is gone. The first reason stands."""
        if self.cut_by is None:
            self.cut_by = reason
            self._stop()

    def stop_with(self, stop: Callable[[], object]) -> None:
        """How to stop what the call is waiting for now."""
        self._stop = stop
        if self.cut_by is not None:
            stop()

    def answer_has_begun(self) -> None:
        """The provider's first byte is here: from now on it has used the prompt, and what we read of the output."""
        self.first_byte_ms = self.elapsed_ms()
        self.reservation.progress = lambda: self.plan.cost(self.counted())

    def elapsed_ms(self) -> int:
        """Milliseconds since the request's first line."""
        return round((self._loop.time() - self.exchange.started) * 1000)

    def counted(self) -> Usage:
        """Our own count of what has been read so far."""
        return counted_usage(self.texts, self.plan.bound, self.plan.count())

    def usage(self, reported: object) -> tuple[Usage, str]:
        """The provider's usage if it can be believed, else our count; and which of the two it is."""
        trusted = trusted_usage(reported, self.plan.bound)
        if trusted is not None:
            return trusted, "provider"
        if reported is not None:
            metrics.tally.count(metrics.UNTRUSTED_USAGE, self.plan.provider.slug)
        return self.counted(), "counted" if self.plan.count() else "estimated"

    def read(self, completion: Completion) -> None:
        """Take in the text of a whole answer."""
        self.texts += completion.texts()

    def finish(self, outcome: str, usage: Usage, source: str, status: int) -> int:
        """Book the call's end, once; returns what it costs, in tokens."""
        cost = self.plan.cost(usage)
        if not self.reservation.ended:
            self.exchange.fields |= {"outcome": outcome, "charged_tokens": cost, "usage_source": source}
            ending = Ending(outcome, usage, source, status, self.elapsed_ms(), self.first_byte_ms)
            self._reservations.settle(self.reservation, ending)
        return cost

    def finish_cut(self, reported: object = None) -> None:
        """Book a call cut after it had been sent: the provider has read the prompt, and generated what we read.

        A provider that never answered costs nothing, unless it was the client that did not wait.
        """
        if self.cut_by != CLIENT_CLOSED and self.first_byte_ms is None:
            self.release(self.cut_by or "aborted", 504)
        usage, source = self.usage(reported)
        status = STATUS_CLIENT_CLOSED if self.cut_by in (CLIENT_CLOSED, SLOW_CLIENT) else 504
        self.finish(self.cut_by or "aborted", usage, source, status)

    def cut_error(self) -> ApiError:
        """What to tell the client of a call that was cut.

        Raises:
            ClientGoneError: nobody is there to be told.
        """
        if self.cut_by in (CLIENT_CLOSED, SLOW_CLIENT):
            raise ClientGoneError
        if self.cut_by == HOLD_LOST:
            return unavailable("The reservation of this call was lost; try again.", code="reservation_lost")
        return upstream_timeout()

    def close(self) -> None:
        """The call is over. If nothing has booked it (the gateway is stopping, or failed), book what it has used."""
        if self._deadline is not None:
            self._deadline.cancel()
        if not self.reservation.ended:
            used = self.counted() if self.first_byte_ms is not None else Usage()
            self.finish("aborted", used, "counted", 503)

    def release(self, outcome: str, status: int) -> None:
        """Book a call that cost nothing: the provider failed it."""
        self.finish(outcome, Usage(), "none", status)


def failure(error: UpstreamError) -> ApiError:
    """The answer for a provider that failed before its first byte reached the client."""
    if isinstance(error, UpstreamTimeout):
        return upstream_timeout()
    if isinstance(error, UpstreamUnreachable):
        return unavailable("The provider cannot be reached.", code="provider_unreachable")
    return bad_gateway("bad_upstream_response", "The provider's answer broke off or was not understood.")
