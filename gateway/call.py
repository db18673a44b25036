"""An admitted call on its way: who may cut it, what it has used so far, and its one ending."""

import asyncio
from collections.abc import Callable
from typing import cast

from apps.core.units import Usage
from gateway import metrics, settings
from gateway.control_plane import ClaimEnd, Settlement
from gateway.errors import ApiError, bad_gateway, unauthorized, unavailable, upstream_timeout
from gateway.exchange import ClientGoneError, Exchange
from gateway.metering import Completion, counted_usage, trusted_usage
from gateway.quota import DEAD as REVOKED
from gateway.quota import SWEPT as HOLD_LOST
from gateway.quota import Ending
from gateway.reservations import Reservation, Reservations
from gateway.upstream.client import UpstreamError, UpstreamTimeout, UpstreamUnreachable

CLIENT_CLOSED, DEADLINE, SLOW_CLIENT = "client_closed", "timeout", "slow_client"

STATUS_CLIENT_CLOSED = 499
"""nginx's number for a client that left; it is never sent, only logged and booked."""


class Call:
    """A hold in use. Whatever happens, :meth:`finish` books it exactly once."""

    def __init__(self, exchange: Exchange, reservations: Reservations, reservation: Reservation) -> None:
        self.exchange = exchange
        self.plan = reservation.plan
        self.reservation = reservation
        self._reservations = reservations
        self._stop: Callable[[], object] = _nothing
        self._loop = asyncio.get_running_loop()
        self.cut_by: str | None = None
        self.first_byte_ms: int | None = None
        self.texts: list[tuple[int, str]] = []
        self._deadline: asyncio.TimerHandle | None = None
        self._waits = False
        reservation.call = self

    async def wait_for_turn(self) -> None:
        """Wait until the bucket has room for the call, which is soon, or it would have been refused.

        Raises:
            ApiError, ClientGoneError: it was cut meanwhile; its place and its pour are free again.
        """
        wait_ms = self.reservation.admitted.start_in_ms
        if wait_ms <= 0:
            return
        self.expire_after(settings.CALL_SECONDS)
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._waits = True
        self.stop_with(task.cancel)
        try:
            await asyncio.sleep(wait_ms / 1000)
        except asyncio.CancelledError:
            if self.cut_by is None:
                raise
            task.uncancel()
            metrics.tally.count(metrics.WAITS, self.cut_by)
            self.release(self.cut_by, self._cut_status())
            raise self.cut_error() from None
        self._waits = False
        self._stop = _nothing
        metrics.tally.count(metrics.WAITS, "started")
        metrics.tally.count(metrics.WAITED_MS, amount=wait_ms)

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

    def progress(self) -> int:
        """Tokens that the call has come to so far."""
        return 0 if self.first_byte_ms is None else self.plan.cost(self.counted())

    async def hold_more(self, tokens: int) -> bool:
        """Let the hold grow by so many tokens; whether it did."""
        has_grown = await self._reservations.grow(self.reservation, tokens)
        self.exchange.fields["held_tokens"] = self.reservation.demand.amount
        return has_grown

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

    def finish(self, outcome: str, usage: Usage, source: str, status: int, answer: bytes | None = None) -> int:
        """Book the call's end, once; returns what it costs, in tokens. ``answer`` is a whole one, to be kept."""
        claim_end = self._reservations.claim_end(self.reservation, answer)
        return self._end(outcome, usage, source, status, claim_end, answer if claim_end is ClaimEnd.STORED else None)

    def _end(
        self, outcome: str, usage: Usage, source: str, status: int, claim_end: ClaimEnd, answer: bytes | None
    ) -> int:
        cost = self.plan.cost(usage)
        if not self.reservation.ended:
            fields, demand = self.exchange.fields, self.reservation.demand
            fields["outcome"], fields["charged_tokens"], fields["usage_source"] = outcome, cost, source
            settlement = Settlement(
                demand.hold, demand.terms.account, cost, usage, outcome, source, status, self.elapsed_ms(),
                self.first_byte_ms,
            )  # fmt: skip
            self._reservations.settle(self.reservation, Ending(settlement, claim_end, self._waits), answer)
        return cost

    def end_if_cut(self) -> None:
        """Before anything has left: a call that was cut already ends here, and costs nothing.

        Raises:
            ApiError, ClientGoneError: it was cut.
        """
        if self.cut_by is not None:
            self.release(self.cut_by, self._cut_status())
            raise self.cut_error()

    def finish_cut(self, reported: object = None) -> None:
        """Book a call cut after it had been sent: the provider has read the prompt, and generated what we read.

        A provider that never answered costs nothing, unless it was the client that did not wait.
        """
        if self.cut_by != CLIENT_CLOSED and self.first_byte_ms is None:
            self.release(self.cut_by or "aborted", self._cut_status())
        usage, source = self.usage(reported)
        self.finish(self.cut_by or "aborted", usage, source, self._cut_status())

    def _cut_status(self) -> int:
        if self.cut_by in (CLIENT_CLOSED, SLOW_CLIENT):
            return STATUS_CLIENT_CLOSED
        return 401 if self.cut_by == REVOKED else 504

    def cut_error(self) -> ApiError:
        """What to tell the client of a call that was cut.

        Raises:
            ClientGoneError: nobody is there to be told.
        """
        if self.cut_by in (CLIENT_CLOSED, SLOW_CLIENT):
            raise ClientGoneError
        if self.cut_by == REVOKED:
            return unauthorized()
        if self.cut_by == HOLD_LOST:
            return unavailable("The reservation of this call was lost; try again.", code="reservation_lost")
        return upstream_timeout()

    def close(self) -> None:
        """The call is over. If nothing has booked it (the gateway is stopping, or failed), book what it has used."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._stop = _nothing
        if not self.reservation.ended:
            if self.first_byte_ms is None:
                self.release("aborted", 503)
            else:
                self.finish("aborted", self.counted(), "counted", 503)

    def release(self, outcome: str, status: int) -> None:
        """Book a call that cost nothing: the provider failed it. Its idempotency key is free again."""
        self._end(outcome, Usage(), "none", status, ClaimEnd.FREE, None)


def _nothing() -> None:
    """Stop a call that waits for nothing."""


def failure(error: UpstreamError) -> ApiError:
    """The answer for a provider that failed before its first byte reached the client."""
    if isinstance(error, UpstreamTimeout):
        return upstream_timeout()
    if isinstance(error, UpstreamUnreachable):
        return unavailable("The provider cannot be reached.", code="provider_unreachable")
    return bad_gateway("bad_upstream_response", "The provider's answer broke off or was not understood.")
