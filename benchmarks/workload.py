"""What is asked and what is answered in every measurement: one chat body, one completion, one stream of chunks."""

import orjson

MODEL = "gpt-4o-mini"
STREAM_MODEL = "gpt-4o-mini-stream"
"""The gateway knows it as a model of a second provider, whose upstream is the streaming half of the stub."""

CHUNKS = 50
CHUNK_INTERVAL_MS = 20
EVENTS_PER_STREAM = CHUNKS + 1
"""Events that a client must have read: the chunks, and ``[DONE]`` in one piece with the last of them."""

USAGE = {"prompt_tokens": 20, "completion_tokens": 16, "total_tokens": 36}
CREATED = 1_700_000_000
QUESTION = "Name three things that leak although they should not, and say for each of them who pays."
ANSWER = (
    "A tap leaks water, and the tenant pays. A bucket leaks tokens, and the impatient caller pays. "
    "A counter without a lock leaks money, and the house pays."
)


def request_body(*, stream: bool) -> bytes:
    """The body of a chat call of about 230 bytes; a streamed one asks for the usage chunk, so that it is passed on."""
    body: dict[str, object] = {
        "model": STREAM_MODEL if stream else MODEL,
        "messages": [{"role": "system", "content": "You are brief."}, {"role": "user", "content": QUESTION}],
        "max_tokens": 64,
    }
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return orjson.dumps(body)


def completion() -> bytes:
    """The whole answer of the stub, about 640 bytes of JSON in the provider's field order."""
    message: dict[str, object] = {"role": "assistant", "content": ANSWER, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return orjson.dumps(
        {
            "id": "chatcmpl-benchmark00000000000000000",
            "object": "chat.completion",
            "created": CREATED,
            "model": "gpt-4o-mini-2024-07-18",
            "choices": [choice],
            "usage": USAGE | {"prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0}},
            "service_tier": "default",
            "system_fingerprint": "fp_benchmark",
        }
    )


def stream_chunks() -> list[bytes]:
    """The timed pieces of one streamed answer as SSE bytes; the last one holds the usage chunk and ``[DONE]``."""
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}, *({"content": " leak"} for _ in range(47))]
    events = [_event([_choice(delta, None)], None) for delta in deltas]
    events += [_event([_choice({}, "stop")], None), _event([], USAGE) + b"data: [DONE]\n\n"]
    return events


def http_request(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """The request as it goes over a keep-alive connection."""
    lines = {"host": "127.0.0.1", "content-type": "application/json", "content-length": str(len(body))} | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def _choice(delta: dict[str, str], finish_reason: str | None) -> dict[str, object]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _event(choices: list[dict[str, object]], usage: dict[str, int] | None) -> bytes:
    chunk = {
        "id": "chatcmpl-benchmark00000000000000000",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "system_fingerprint": "fp_benchmark",
        "choices": choices,
        "usage": usage,
    }
    return b"data: " + orjson.dumps(chunk) + b"\n\n"
