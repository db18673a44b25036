"""What is in an account's buckets now, read without pouring: from the fields of their hashes to values. Pure.

``lua/bucket.lua`` says which fields each strategy has; a test holds the two against each other.
"""

from collections.abc import Mapping

from apps.core.units import MICRO
from apps.limiter.domain import REQUEST, Decision, Policy, State, Strategy, ceil_div, drain_ms, pour
from apps.limiter.messages import Requests

_FIELDS = {
    Strategy.LEAKY_BUCKET: (b"level", b"at"),
    Strategy.TOKEN_BUCKET: (b"avail", b"since"),
    Strategy.FIXED_WINDOW: (b"count", b"from"),
}


def bucket_reading(fields: Mapping[bytes, bytes], policy: Policy, now_ms: int) -> Decision:
    """A bucket at ``now_ms`` of Valkey's clock, as a pour of nothing would find it."""
    amount, moment = (fields.get(name) for name in _FIELDS[policy.strategy])
    if amount is None:
        level = 0
    elif policy.strategy is Strategy.TOKEN_BUCKET:
        level = max(policy.bucket.capacity * MICRO - int(float(amount)), 0)
    else:
        level = int(float(amount))
    return pour(State(level, int(float(moment or 0))), policy, 0, now_ms)[1]


def requests_reading(fields: Mapping[bytes, bytes], per_minute: int, now_ms: int) -> Requests:
    """Requests per minute at ``now_ms`` of Valkey's clock."""
    level, at = int(float(fields.get(b"level", 0))), int(float(fields.get(b"at", 0)))
    elapsed = min(max(now_ms - at, 0), drain_ms(level, per_minute))
    level = max(level - elapsed * per_minute, 0)
    used = ceil_div(level, REQUEST)
    return Requests(per_minute, max(per_minute - used, 0), drain_ms(level, per_minute))
