"""The fake OpenAI as an ASGI application: who may call, which answer, and what the oracle writes about it."""

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from apps.core.ids import uuid7
from gateway.stubs import faults as menu
from gateway.stubs.delivery import Answer, Delivered, Piece, deliver
from gateway.stubs.exchange import ClientLeft, Exchange, Message, Receive, Send
from gateway.stubs.faults import Faults
from gateway.stubs.openai import chat, distort, embeddings, errors, heads, hostile, models, stream
from gateway.stubs.oracle import Facts, Oracle

KEY_PREFIX = "sk-stub-"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as far as it can be read."""

    method: str
    path: str
    headers: dict[bytes, bytes]
    fields: dict[str, Any] | None
    """The body's JSON object; ``None`` when it is none."""

    def header(self, name: bytes) -> str | None:
        """A header's value."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def field(self, name: str) -> Any:
        """A top-level field of the body."""
        return (self.fields or {}).get(name)

    @property
    def stream(self) -> bool:
        """Whether a stream is asked for."""
        return self.field("stream") is True


class OpenAIStub:
    """Answers everything under ``/v1``; ``/livez`` and ``/_stub/…`` are not calls and leave no trace."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        exchange = Exchange(scope, receive, send)
        # A client that leaves is a fact for the log (written where the call ends), not a failure of the server.
        with suppress(ClientLeft):
            body = await exchange.body()
            if exchange.path.startswith("/v1"):
                await self._serve(exchange, read(exchange, body))
            else:
                await self._tell(exchange, scope["query_string"])

    async def _serve(self, exchange: Exchange, request: Request) -> None:
        answer, faults = respond(request)
        delivered = Delivered()
        call = self._oracle.arrived(_arrival(request, answer, faults))
        try:
            await deliver(exchange, answer, faults, delivered)
        finally:
            exchange.close()
            self._oracle.ended(call, _ending(exchange, request, answer, delivered))

    async def _tell(self, exchange: Exchange, query: bytes) -> None:
        status, content_type, body = self._told(exchange.path, query)
        await exchange.start(status, [content_type, (b"content-length", b"%d" % len(body))])
        await exchange.finish(body)

    def _told(self, path: str, query: bytes) -> tuple[int, tuple[bytes, bytes], bytes]:
        """The answer of a path that is not OpenAI's: status, content type, body."""
        if path == "/livez":
            return 200, heads.JSON, b'{"status":"ok"}'
        if path == "/_stub/stats":
            return 200, heads.JSON, orjson.dumps(self._oracle.stats())
        if path == "/_stub/log":
            after = query.removeprefix(b"after=")
            return 200, heads.JSON_LINES, self._oracle.page(int(after) if after.isdigit() else 0)
        if path.startswith("/_stub/requests/"):
            return 200, heads.JSON, orjson.dumps(self._oracle.request(path.removeprefix("/_stub/requests/")))
        return 404, heads.JSON, errors.no_such_url("GET", path).body()


def read(exchange: Exchange, body: bytes) -> Request:
    """The request with its body parsed."""
    return Request(exchange.method, exchange.path, exchange.headers, _object(body))


def respond(request: Request) -> tuple[Answer, Faults]:
    """The answer to a call, and the faults to be committed in delivering it."""
    faults = menu.NONE
    try:
        _authenticate(request.header(b"authorization"))
        faults = menu.read(request.headers, request.field("metadata"))
        instead = hostile.instead(faults, stream=request.stream) if faults.ordered else None
        answer = instead or _route(request, faults)
    except errors.ApiError as error:
        answer = Answer(error.status, heads.common(heads.JSON, 0), [Piece(error.body())])
    except menu.BadOrder as error:
        refusal = errors.ApiError(400, str(error), code="stub_bad_order")
        answer = Answer(400, heads.common(heads.JSON, 0), [Piece(refusal.body())])
    return (distort.distorted(answer, faults) if faults.ordered else answer), faults


def _authenticate(authorization: str | None) -> None:
    scheme, _, key = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise errors.no_key()
    if not key.startswith(KEY_PREFIX):
        raise errors.wrong_key(key)


def _route(request: Request, faults: Faults) -> Answer:
    match request.method, request.path:
        case "POST", "/v1/chat/completions":
            return _chat(_required(request), faults)
        case "POST", "/v1/embeddings":
            return _embeddings(_required(request), faults)
        case "GET", "/v1/models":
            return _listing(models.listing())
        case "GET", path if path.startswith("/v1/models/"):
            return _listing(models.single(path.removeprefix("/v1/models/")))
        case method, path:
            raise errors.no_such_url(method, path)


def _chat(fields: dict[str, Any], faults: Faults) -> Answer:
    call = chat.parse(fields, faults)
    identifier, created = f"chatcmpl-{uuid7().hex}", int(time.time())
    limits = heads.limits(call.prompt_tokens + call.generated)
    if call.stream:
        headers = heads.common(heads.EVENTS, faults.delay_ms) + limits
        frames = stream.frames(call, faults, identifier, created)
        return Answer(200, headers, frames, stream=True, prompt_tokens=call.prompt_tokens)
    headers = heads.common(heads.JSON, faults.delay_ms) + limits
    whole = Piece(chat.completion(call, identifier, created), call.generated, call.usage)
    return Answer(200, headers, [whole], prompt_tokens=call.prompt_tokens)


def _embeddings(fields: dict[str, Any], faults: Faults) -> Answer:
    call = embeddings.parse(fields, faults)
    headers = heads.common(heads.JSON, faults.delay_ms) + heads.limits(call.prompt_tokens)
    return Answer(200, headers, [Piece(embeddings.answer(call), 0, call.usage)], prompt_tokens=call.prompt_tokens)


def _listing(body: dict[str, Any]) -> Answer:
    return Answer(200, heads.common(heads.JSON, 0), [Piece(orjson.dumps(body))])


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return fields if isinstance(fields, dict) else None


def _required(request: Request) -> dict[str, Any]:
    if request.fields is None:
        raise errors.unparsable()
    return request.fields


def _arrival(request: Request, answer: Answer, faults: Faults) -> Facts:
    fields = request.fields or {}
    return _identity(request, answer) | {
        "method": request.method,
        "path": request.path,
        "authorization": (request.header(b"authorization") or "")[-4:],
        "max_tokens": fields.get("max_completion_tokens", fields.get("max_tokens")),
        "stream_options": fields.get("stream_options"),
        "body_keys": list(fields),
        "headers": [name.decode("latin-1") for name in request.headers],
        "fault": str(faults),
    }


def _ending(exchange: Exchange, request: Request, answer: Answer, delivered: Delivered) -> Facts:
    return _identity(request, answer) | {
        "status": exchange.status,
        "tokens_generated": delivered.tokens,
        "chunks": exchange.chunks,
        "bytes": exchange.bytes,
        "usage": delivered.usage,
        "complete": delivered.complete,
        "client_left": exchange.left_ms is not None,
        "left_ms": exchange.left_ms,
    }


def _identity(request: Request, answer: Answer) -> Facts:
    model = request.field("model")
    return {
        "request_id": request.header(b"x-request-id"),
        "idempotency_key": request.header(b"idempotency-key"),
        "model": model if isinstance(model, str) else None,
        "stream": request.stream,
        "prompt_tokens": answer.prompt_tokens,
    }
