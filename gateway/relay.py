"""The way back: a provider's answer to the client, metered, booked, and with its receipt."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import NoReturn

from gateway.call import SLOW_CLIENT, Call, failure
from gateway.control_plane import Admitted
from gateway.errors import JSON, ApiError, bad_gateway, bad_request, unavailable, upstream_timeout
from gateway.exchange import Header
from gateway.growth import Growth
from gateway.metering import Completion, read
from gateway.streaming import StreamMeter
from gateway.upstream.client import UpstreamError, UpstreamResponse, UpstreamTimeout
from gateway.upstream.sse import EventSplitter

MESSAGE_LIMIT = 500
LAST_BYTES_SECONDS = 0.2

LOOK_SECONDS = 0.02
"""In which all is read that is here already."""

OVERLOADED = (429, 503, 529)

OUT_OF_TOKENS = "out_of_tokens"
"""How a stream ends whose hold was to grow and could not."""


async def relay(call: Call, response: UpstreamResponse) -> None:
    """Pass an answer on.

    Raises:
        ApiError: the provider failed before a byte of its answer was passed on.
        ClientGoneError: nobody is there to be answered.
    """
    call.stop_with(response.abort)
    if response.status != 200:
        await _refuse(call, response)
    call.answer_has_begun()
    if call.plan.streamed:
        await _stream(call, response)
    else:
        await _plain(call, response)


async def _plain(call: Call, response: UpstreamResponse) -> None:
    try:
        raw = await response.read()
    except UpstreamError as error:
        _fail(call, error)
    completion = read(raw)
    if completion is None or not _is_answer(call, completion):
        call.release("upstream_error", 502)
        raise bad_gateway("bad_upstream_response", "The provider's answer was not understood.")
    call.read(completion)
    usage, source = call.usage(completion.usage)
    cost = call.finish("completed", usage, source, 200, raw)
    headers = [JSON, *receipt(call), *_passed_on(response), (b"x-charged-tokens", b"%d" % cost)]
    await call.exchange.answer(200, headers, raw)


def _is_answer(call: Call, completion: Completion) -> bool:
    wanted = completion.choices if call.plan.operation.kind == "chat" else completion.data
    return bool(wanted)


async def _stream(call: Call, response: UpstreamResponse) -> None:
    if not _header(response, b"content-type").startswith(b"text/event-stream"):
        response.abort()
        call.release("upstream_error", 502)
        raise bad_gateway("bad_upstream_response", "The provider did not answer with an event stream.")
    headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
    await call.exchange.start_stream(200, [*headers, *receipt(call), *_passed_on(response)])
    meter = StreamMeter(client_asked_usage=call.plan.asked_usage)
    call.texts = meter.texts
    growth = Growth(call) if call.plan.held < call.plan.bound.tokens else None
    if growth is not None:
        call.stop_with(partial(_stop_both, response, growth))
    try:
        error = await _pump(call, response, meter, growth)
    finally:
        if growth is not None:
            growth.stop()
    await _let_go(response, meter)
    if error is None or (call.cut_by is not None and meter.usage is not None):
        _book(call, meter)
    elif call.cut_by is not None:
        call.finish_cut()
    else:
        _book_broken(call, meter, error)
    await _close(call, error)


def _stop_both(response: UpstreamResponse, growth: Growth) -> None:
    growth.stop()
    response.abort()


async def _pump(call: Call, response: UpstreamResponse, meter: StreamMeter, growth: Growth | None) -> ApiError | None:
    """Pass events on until the end; returns what to tell the client when that is not a proper end."""
    splitter = EventSplitter()
    try:
        while piece := await response.chunk():
            await _pass_on(call, meter, splitter.feed(piece))
            if meter.failed:
                return _stream_error("The provider failed in mid-stream.")
            if growth is not None and not meter.done and not await growth.covers(meter.size) and call.cut_by is None:
                await _end_at_hold(call, response, meter, splitter)
            if meter.done:
                return None
    except TimeoutError:
        call.cut(SLOW_CLIENT)
        return _stream_error("The client did not read.")
    except UpstreamTimeout:
        return upstream_timeout()
    except UpstreamError:
        return _stream_error("The provider's stream broke off.")
    return _stream_error("The provider's stream ended before its end.")


async def _pass_on(call: Call, meter: StreamMeter, events: Iterable[bytes]) -> None:
    passed = b"".join(map(meter.pass_on, events))
    if meter.done:
        _book(call, meter)
    if passed:
        await call.exchange.send_piece(passed)


async def _end_at_hold(call: Call, response: UpstreamResponse, meter: StreamMeter, splitter: EventSplitter) -> None:
    """End a stream whose hold is used up and cannot grow: to the client it is a cap that was reached.

    What has come in meanwhile was generated, too, so it is passed on and counted first.
    """
    with suppress(UpstreamError, TimeoutError):
        async with asyncio.timeout(LOOK_SECONDS):
            while not (meter.done or meter.failed) and (piece := await response.chunk()):
                await _pass_on(call, meter, splitter.feed(piece))
    if not meter.done:
        response.abort()
        usage = call.counted()
        call.finish(OUT_OF_TOKENS, usage, "counted" if call.plan.count() else "estimated", 200)
        await call.exchange.send_piece(meter.cut_short(usage))


async def _let_go(response: UpstreamResponse, meter: StreamMeter) -> None:
    """After the last event the body's end is there too, as a rule; then the connection can be used again."""
    if meter.done:
        with suppress(UpstreamError, TimeoutError):
            async with asyncio.timeout(LAST_BYTES_SECONDS):
                while await response.chunk():
                    pass
    response.abort()


def _book(call: Call, meter: StreamMeter) -> None:
    """The stream has ended for us: whatever the client does now, the call is complete."""
    usage, source = call.usage(meter.usage)
    call.finish("completed", usage, source, 200)


def _book_broken(call: Call, meter: StreamMeter, error: ApiError) -> None:
    """The provider has broken the stream: what came of it is charged, and nothing where it had not begun."""
    outcome = _outcome(error)
    if meter.began:
        usage, source = call.usage(meter.usage)
        call.finish(outcome, usage, source, error.status)
    else:
        call.release(outcome, error.status)


def _outcome(error: ApiError) -> str:
    return "timeout" if error.status == 504 else "upstream_error"


def _stream_error(message: str) -> ApiError:
    return bad_gateway("upstream_incomplete", message)


async def _close(call: Call, error: ApiError | None) -> None:
    """End the client's stream: by its proper end, or by an error event and no ``[DONE]``, never by a clean cut."""
    if error is not None and call.cut_by is not None:
        error = call.cut_error()
    if error is not None:
        await call.exchange.send_piece(error.event())
    await call.exchange.end_stream()


def _fail(call: Call, error: UpstreamError) -> NoReturn:
    """The provider, or whoever cut the call, ended it before a byte was passed on."""
    if call.cut_by is not None:
        call.finish_cut()
        raise call.cut_error() from error
    answer = failure(error)
    call.release(_outcome(answer), answer.status)
    raise answer from error


async def _refuse(call: Call, response: UpstreamResponse) -> NoReturn:
    """Turn a provider's refusal into ours: its 401 is not the client's, its 429 is not the client's limit."""
    try:
        raw = await response.read()
    except UpstreamError as error:
        _fail(call, error)
    completion = read(raw)
    reported = completion.usage if completion else None
    answer = _refusal(response, completion)
    if reported is not None:
        usage, source = call.usage(reported)
        call.finish("upstream_error", usage, source, answer.status)
    call.release("upstream_error", answer.status)
    raise answer


def _refusal(response: UpstreamResponse, completion: Completion | None) -> ApiError:
    status = response.status
    if status in (401, 403):
        return bad_gateway(
            "upstream_auth", "The provider refused our credential; we have been told.", should_retry=False
        )
    if status in OVERLOADED:
        return unavailable(
            "The provider is overloaded.", code="provider_overloaded", retry_after_ms=_retry_after_ms(response)
        )
    if 400 <= status < 500:
        return bad_request(_message(completion), code="provider_refused")
    return bad_gateway("upstream_error", "The provider failed.")


def _message(completion: Completion | None) -> str:
    """The provider's own words, cut and without control characters; never its whole body."""
    error = completion.error if completion else None
    text = error.get("message") if isinstance(error, dict) else None
    if not isinstance(text, str):
        return "The provider refused the request."
    return "The provider refused the request: " + "".join(c for c in text if c.isprintable())[:MESSAGE_LIMIT]


def _retry_after_ms(response: UpstreamResponse) -> int:
    value = _header(response, b"retry-after")
    return min(int(value), 60) * 1000 if value.isdigit() and int(value) else 2000


def receipt(call: Call) -> list[Header]:
    """What every answer to an admitted call carries; names of OpenAI's where it has one. Tokens, and Go durations."""
    decision = call.reservation.decision
    return [
        *_told_of_shaping_and_requests(call.reservation.admitted),
        (b"x-reservation-id", str(call.reservation.id).encode()),
        (b"x-ratelimit-limit-tokens", b"%d" % decision.capacity),
        (b"x-ratelimit-remaining-tokens", b"%d" % decision.remaining),
        (b"x-ratelimit-reset-tokens", go_duration(decision.empty_in_ms)),
        (b"openai-processing-ms", b"%d" % call.elapsed_ms()),
    ]


def _told_of_shaping_and_requests(admitted: Admitted) -> list[Header]:
    """What only calls of some tiers are told: how long they waited for their turn, and their requests per minute."""
    headers = [(b"x-leaky-wait-ms", b"%d" % admitted.start_in_ms)] if admitted.start_in_ms > 0 else []
    if (requests := admitted.requests) is not None:
        headers += [
            (b"x-ratelimit-limit-requests", b"%d" % requests.limit),
            (b"x-ratelimit-remaining-requests", b"%d" % requests.remaining),
            (b"x-ratelimit-reset-requests", go_duration(requests.reset_ms)),
        ]
    return headers


def go_duration(ms: int) -> bytes:
    """Milliseconds as OpenAI writes durations: ``12ms``, ``1.5s``, ``6m0s``."""
    if ms < 1000:
        return b"%dms" % ms
    minutes, rest = divmod(ms, 60_000)
    seconds = f"{rest / 1000:g}s"
    hours, minutes = divmod(minutes, 60)
    return (
        (f"{hours}h" if hours else "").encode()
        + (f"{minutes}m" if minutes or hours else "").encode()
        + seconds.encode()
    )


def _passed_on(response: UpstreamResponse) -> list[Header]:
    version = _header(response, b"openai-version")
    return [(b"openai-version", version)] if version else []


def _header(response: UpstreamResponse, name: bytes) -> bytes:
    for key, value in response.headers:
        if key == name:
            return value
    return b""
