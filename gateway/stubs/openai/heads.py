"""Response headers as OpenAI and the proxy before it send them."""

from apps.core.ids import request_id

Headers = list[tuple[bytes, bytes]]

LIMIT_REQUESTS = 10_000
LIMIT_TOKENS = 2_000_000

_ALWAYS: Headers = [
    (b"openai-version", b"2020-10-01"),
    (b"openai-organization", b"org-stub"),
    (b"cf-ray", b"8e6f0a1b2c3d4e5f-FRA"),
    # The real one is behind a proxy that sets a cookie; a gateway must not hand it on.
    (b"set-cookie", b"__cf_bm=stub; path=/; HttpOnly"),
]
_LIMITS: Headers = [
    (b"x-ratelimit-limit-requests", b"%d" % LIMIT_REQUESTS),
    (b"x-ratelimit-limit-tokens", b"%d" % LIMIT_TOKENS),
    (b"x-ratelimit-remaining-requests", b"%d" % (LIMIT_REQUESTS - 1)),
    (b"x-ratelimit-reset-requests", b"6ms"),
]
JSON = (b"content-type", b"application/json")
JSON_LINES = (b"content-type", b"application/jsonl")
EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
HTML = (b"content-type", b"text/html; charset=utf-8")


def common(content_type: tuple[bytes, bytes], processing_ms: int) -> Headers:
    """The headers of every answer."""
    return [
        content_type,
        *_ALWAYS,
        (b"openai-processing-ms", b"%d" % processing_ms),
        (b"x-request-id", request_id(None).encode()),
    ]


def limits(tokens: int) -> Headers:
    """The rate limit headers of an answer that ``tokens`` count for; the window is a minute and always fresh."""
    return [
        *_LIMITS,
        (b"x-ratelimit-remaining-tokens", b"%d" % max(0, LIMIT_TOKENS - tokens)),
        (b"x-ratelimit-reset-tokens", go_duration(tokens * 60_000 // LIMIT_TOKENS).encode()),
    ]


def go_duration(milliseconds: int) -> str:
    """A duration as Go prints it: ``0s``, ``12ms``, ``1.5s``, ``6m0s``."""
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    seconds = f"{rest / 1000:g}s"
    return f"{minutes}m{seconds}" if minutes else seconds
