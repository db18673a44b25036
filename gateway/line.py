"""THE LINE: a proxied call, from its first byte to its booking, top to bottom.

authenticate, parse, plan (model, price, bound), admit (one round trip: credential, idempotency key, bucket, budgets,
quota), wait for its turn where the tier shapes, forward, relay while metering, settle. Nothing is held before the plan
stands; nothing leaves before the hold stands and the spool has it; what has left is booked whatever happens then.
"""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from apps.core.http.caller import INFERENCE
from gateway import relay, settings, strict_json
from gateway.call import CLIENT_CLOSED, Call, failure
from gateway.control_plane import Upstream
from gateway.dialects.openai.operations import Operation
from gateway.exchange import Exchange, Header
from gateway.idempotency import Attempt, attempt_of
from gateway.plan import Plan, plan_call
from gateway.reservations import AnsweredBefore, Reservation
from gateway.upstream.client import Limits, UpstreamError, UpstreamResponse, UpstreamUnreachable
from gateway.upstream.origin import Target

if TYPE_CHECKING:
    from gateway.app import Gateway

USER_AGENT = b"leaky-tokens/0.1"


async def serve(gateway: "Gateway", exchange: Exchange, operation: Operation) -> None:
    """Serve one model call.

    Raises:
        ApiError: the answer to give, when none has begun.
        ClientGoneError: nobody is there to be answered.
    """
    principal = await gateway.authenticator.principal(exchange, INFERENCE)
    body = strict_json.loads(await exchange.body())
    plan = plan_call(gateway.snapshot, principal, operation, body, datetime.now(UTC))
    try:
        reservation = await _admit(gateway, exchange, plan, attempt_of(exchange, operation, body))
    except AnsweredBefore as before:
        await gateway.answers.replay(exchange, before.account, before.attempt)
        return
    call = Call(exchange, gateway.reservations, reservation)
    exchange.on_leave(lambda: call.cut(CLIENT_CLOSED))
    try:
        await call.wait_for_turn()
        await relay.relay(call, await _forward(gateway, call))
    finally:
        call.close()


async def _admit(gateway: "Gateway", exchange: Exchange, plan: Plan, attempt: Attempt | None) -> Reservation:
    fields = exchange.fields
    fields["model"], fields["provider"], fields["held_tokens"] = plan.model.name, plan.provider.slug, plan.held
    reservation = await gateway.reservations.admit(exchange, plan, attempt)
    fields["reservation_id"] = str(reservation.id)
    return reservation


async def _forward(gateway: "Gateway", call: Call) -> UpstreamResponse:
    """Send the call to the provider's upstreams in turn: the next only while not one byte has left for the last.

    Raises:
        ApiError, ClientGoneError
    """
    error: UpstreamError = UpstreamUnreachable("the provider has no upstream that is switched on")
    for upstream in call.plan.provider.upstreams:
        call.end_if_cut()
        try:
            return await _send(gateway, call, upstream)
        except UpstreamUnreachable as unreachable:
            error = unreachable
        except UpstreamError as broken:
            error = broken
            break
    answer = failure(error)
    call.release("upstream_error" if answer.status != 504 else "timeout", answer.status)
    raise answer


async def _send(gateway: "Gateway", call: Call, upstream: Upstream) -> UpstreamResponse:
    target = Target.of(upstream.base_url)
    patience = upstream.first_byte_timeout_ms / 1000
    limits = Limits(connect=upstream.connect_timeout_ms / 1000, first_byte=patience, between_chunks=patience)
    call.expire_after(min(settings.CALL_SECONDS, upstream.deadline_ms / 1000))
    task = cast("asyncio.Task[None]", asyncio.current_task())
    call.stop_with(task.cancel)
    try:
        return await gateway.upstreams.request(
            target.origin,
            b"POST",
            target.path + call.plan.operation.upstream_path.encode(),
            _upstream_headers(call, upstream),
            call.plan.body,
            limits,
        )
    except asyncio.CancelledError:
        if call.cut_by is None:
            raise
        task.uncancel()
        call.finish_cut()
        raise call.cut_error() from None


def _upstream_headers(call: Call, upstream: Upstream) -> list[Header]:
    """What a provider sees: our own few headers, and those of the client that the operator lets pass by name."""
    exchange = call.exchange
    headers = [
        (b"authorization", b"Bearer " + upstream.credential.reveal().encode()),
        (b"content-type", b"application/json"),
        (b"accept", b"text/event-stream" if call.plan.streamed else b"application/json"),
        (b"user-agent", USER_AGENT),
        (b"x-request-id", exchange.request_id.encode()),
        (b"traceparent", exchange.trace.traceparent().encode()),
    ]
    if exchange.trace.state:
        headers.append((b"tracestate", exchange.trace.state))
    if upstream.forward_headers:
        headers += [pair for pair in exchange.headers if pair[0].decode("latin-1") in upstream.forward_headers]
    return headers
