"""W3C trace context: taken in when well-formed, continued upstream and in the usage event.

Source: W3C Recommendation "Trace Context", sections 3.2 and 3.3.
"""

import random
import re

import msgspec

_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")
_TRACESTATE_LIMIT = 512


class Trace(msgspec.Struct, frozen=True):
    """Our span of a trace. ``state`` is the vendors' part, passed on unread."""

    trace_id: str
    span_id: str
    flags: str
    state: bytes | None

    @classmethod
    def continued(cls, traceparent: bytes | None, state: bytes | None) -> "Trace":
        """A span of the caller's trace, or of a new one when its header is missing or malformed."""
        drawn = f"{random.getrandbits(192):048x}"
        span = drawn[:16]
        match = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
        if match is None:
            return cls(drawn[16:], span, "01", None)
        kept = state if state and len(state) <= _TRACESTATE_LIMIT else None
        return cls(match[1].decode(), span, match[2].decode(), kept)

    def traceparent(self) -> str:
        """The header's value for what we call, and for the event."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"
