"""Refusals by a limit: each says which one, its value, what is used and held of it, and when the call would pass.

429 is the caller's own limit and nothing else. Where waiting helps, ``Retry-After`` says how long, exactly; where it
does not, ``x-should-retry: false`` keeps the official SDK from trying in vain.
"""

from apps.core.errors import InsufficientBudget, InsufficientQuota
from gateway.errors import ApiError, Limit

BUCKET, REQUESTS, CONCURRENCY = "tokens_in_bucket", "requests_per_minute", "concurrency"
QUOTA, CAP, KEY_BUDGET, MEMBER_LIMIT = "quota", "quota_per_day", "key_budget", "member_limit"

CONCURRENCY_WAIT_MS = 1000
"""When a call under way ends nobody knows; a second is what most take."""

_MEMBER = "member:"


def bucket_full(*, needed: int, capacity: int, level: int, wait_ms: int) -> ApiError:
    """429 that passes by itself after ``wait_ms``: the leaky bucket has no room for the call now."""
    message = (
        f"Rate limit reached: the bucket of {capacity} tokens holds {level}; there is room for the {needed} tokens of "
        f"this call in {wait_ms} ms."
    )
    limit = Limit(BUCKET, capacity, level, None, needed, wait_ms)
    return ApiError(
        429, "rate_limit_exceeded", message, type="tokens", retry_after_ms=wait_ms, should_retry=True, limit=limit
    )


def too_many_requests(*, per_minute: int, used: int, wait_ms: int) -> ApiError:
    """429 that passes by itself after ``wait_ms``: the tier's requests per minute are used up."""
    message = f"Rate limit reached: {per_minute} requests per minute; the next one passes in {wait_ms} ms."
    limit = Limit(REQUESTS, per_minute, used, None, 1, wait_ms)
    headers = [
        (b"x-ratelimit-limit-requests", b"%d" % per_minute),
        (b"x-ratelimit-remaining-requests", b"0"),
        (b"x-ratelimit-reset-requests", b"%dms" % wait_ms),
    ]
    return ApiError(
        429, "rate_limit_exceeded", message, type="requests", retry_after_ms=wait_ms, should_retry=True,
        headers=headers, limit=limit,
    )  # fmt: skip


def too_many_at_once(*, allowed: int, live: int) -> ApiError:
    """429 that passes when a call under way has ended."""
    message = f"Your tier allows {allowed} calls at once, and {live} are under way."
    limit = Limit(CONCURRENCY, allowed, live, live, 1)
    return ApiError(
        429, "concurrency_limit_exceeded", message, type="requests", retry_after_ms=CONCURRENCY_WAIT_MS,
        should_retry=True, limit=limit,
    )  # fmt: skip


def insufficient_quota(short: InsufficientQuota, renews_in_ms: int | None = None) -> ApiError:
    """429 that no quick retry can mend: the tokens are spent or held. ``renews_in_ms``: when an allowance comes."""
    message = (
        f"You exceeded your token quota: this call needs {short.needed} tokens, {short.available} are available "
        f"({short.held} held by calls under way, {short.granted} granted in all)."
    )
    used = max(short.granted - short.available - short.held, 0)
    limit = Limit(QUOTA, short.granted, used, short.held, short.needed, renews_in_ms)
    return ApiError(429, "insufficient_quota", message, type="insufficient_quota", limit=limit)


def over_cap(short: InsufficientQuota, cap: int, passes_in_ms: int) -> ApiError:
    """429: the account has tokens, but the tier lets it spend no more of them today (UTC)."""
    message = (
        f"Your tier lets you spend {cap} tokens a day: this call needs {short.needed}, {short.available} are left "
        f"until midnight UTC ({short.held} held by calls under way)."
    )
    used = max(cap - short.available - short.held, 0)
    limit = Limit(CAP, cap, used, short.held, short.needed, passes_in_ms)
    return ApiError(429, "insufficient_quota", message, type="insufficient_quota", limit=limit)


def over_budget(short: InsufficientBudget, budget_id: str) -> ApiError:
    """429 that no quick retry can mend: the key's or the member's own budget is used up, whatever the payer has."""
    is_member = budget_id.startswith(_MEMBER)
    who = "Your organisation lets you spend" if is_member else "This API key may spend"
    message = (
        f"{who} {short.budget} tokens{'' if is_member else ' in all'}: {short.spent} are spent and {short.held} held "
        f"by calls under way; this call needs {short.needed}."
    )
    name = MEMBER_LIMIT if is_member else KEY_BUDGET
    limit = Limit(name, short.budget, short.spent, short.held, short.needed)
    code = "member_limit_exceeded" if is_member else "key_budget_exceeded"
    return ApiError(429, code, message, type="insufficient_quota", limit=limit)
