"""Identifiers: time-ordered UUIDs for rows, and request ids."""

import os
import re
import threading
import time
from uuid import UUID

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What we accept as a caller's own request id; anything else is replaced by one of ours."""

_one_at_a_time = threading.Lock()
_latest = 0

_RANDOM = ~(0xF << 76 | 0b11 << 62) & ((1 << 80) - 1)
"""The lower 80 bits but for version and variant."""
_MARKS = 0x7 << 76 | 0b10 << 62


def uuid7() -> UUID:
    """A UUID version 7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then random.

    Rows with such keys are inserted at the end of their index, and sort by the time of their making. Those of one
    process rise strictly, also within a millisecond (section 6.2, method 2).
    """
    global _latest  # noqa: PLW0603 (the one thing that a process remembers of its ids)
    with _one_at_a_time:
        _latest = max(_version_7(), _latest + 1)
        return UUID(int=_latest)


def _version_7() -> int:
    random = int.from_bytes(os.urandom(10), "big")
    return time.time_ns() // 1_000_000 << 80 | random & _RANDOM | _MARKS


def request_id(offered: str | None) -> str:
    """The caller's request id when it is well-formed, else a new one (``req_`` and 32 hex digits)."""
    if offered and REQUEST_ID.fullmatch(offered):
        return offered
    return f"req_{_version_7():032x}"
