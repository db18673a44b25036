"""Between the bucket's values and its script: values to KEYS and ARGV, a reply to values. No client, no connection."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar, cast

from apps.limiter.domain import Bucket, Decision

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the SHA-1 by which Valkey knows it."""

    text: str
    sha: str


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One run of a script: what any client sends, and how its reply (bytes) is read."""

    script: Script
    keys: tuple[str, ...]
    args: tuple[str | int, ...]
    decode: Callable[[object], T]


def load(name: str) -> Script:
    """Read a script that lies beside this module, once, at import."""
    text = Path(__file__).with_name(name).read_text()
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


LEAKY_BUCKET = load("leaky_bucket.lua")


def pour_call(buckets: Mapping[str, Bucket], tokens: int, *, now_ms: int | None = None) -> Call[Decision]:
    """Pour ``tokens`` into all of ``buckets`` (by their keys, which share a hash tag) or into none.

    Only tests give ``now_ms`` (Unix milliseconds): otherwise the time is Valkey's.

    Raises:
        ValueError: fewer than no tokens, or no bucket.
    """
    if tokens < 0 or not buckets:
        raise ValueError("a pour needs a bucket, and tokens that are not negative")
    return _call("pour", buckets, tokens, now_ms, partial(_decision, tuple(buckets.values())))


def adjust_call(buckets: Mapping[str, Bucket], delta_tokens: int, *, now_ms: int | None = None) -> Call[list[int]]:
    """Correct an earlier pour into ``buckets``: negative takes the unused part out, positive adds an overrun.

    The reply is each bucket's level afterwards, in micro-tokens.
    """
    return _call("adjust", buckets, delta_tokens, now_ms, _levels)


def _call(
    operation: str, buckets: Mapping[str, Bucket], tokens: int, now_ms: int | None, decode: Callable[[object], T]
) -> Call[T]:
    limits = [number for bucket in buckets.values() for number in (bucket.capacity, bucket.leak)]
    args = (operation, tokens, "" if now_ms is None else now_ms, *limits)
    return Call(LEAKY_BUCKET, tuple(buckets), args, decode)


def _decision(buckets: Sequence[Bucket], reply: object) -> Decision:
    verdict, index, level, wait_ms = cast("tuple[bytes, int, bytes, bytes]", reply)
    return Decision(verdict == b"poured", int(level), buckets[index - 1], int(wait_ms), verdict != b"never")


def _levels(reply: object) -> list[int]:
    return [int(level) for level in cast("list[bytes]", reply)]
