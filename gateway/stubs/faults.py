"""What a caller may order of a stub: faults by name, delays, and amounts of tokens.

Orders come as ``x-stub-…`` headers, or under the same names in the body's ``metadata`` (which survives a gateway that
passes on no foreign headers). A header wins. ``docs/stub-openai.md`` explains each.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

_NOTHING = re.compile("")
_NUMBER = re.compile(r"\d{1,18}")
_OPTIONAL_NUMBER = re.compile(r"\d{0,18}")
_STATUS = re.compile(r"[45]\d\d")
_STALL = re.compile(r"\d{1,9}@\d{1,9}")
_URL = re.compile(r"(https?://\S+)?")

MENU: dict[str, re.Pattern[str]] = {
    # The usage that is reported.
    "no-usage": _NOTHING,
    "wrong-usage": _NUMBER,
    "usage-negative": _NOTHING,
    "usage-huge": _NOTHING,
    "usage-string": _NOTHING,
    "usage-twice": _NOTHING,
    "usage-in-last-choice": _NOTHING,
    # What is generated.
    "over-max": _NOTHING,
    "empty-deltas": _NUMBER,
    # Another answer instead.
    "status": _STATUS,
    "retry-after": _NUMBER,
    "insufficient-quota": _NOTHING,
    "redirect": _URL,
    "html": _NOTHING,
    "bad-json": _NOTHING,
    "empty-object": _NOTHING,
    "endless-line": _OPTIONAL_NUMBER,
    "gzip-bomb": _OPTIONAL_NUMBER,
    # The bytes of the answer.
    "truncate": _NUMBER,
    "error-frame": _NUMBER,
    "duplicate-done": _NOTHING,
    "invalid-utf8": _NOTHING,
    "crlf": _NOTHING,
    "no-content-length": _NOTHING,
    # How they travel.
    "split": _NUMBER,
    "slow-bytes": _NOTHING,
    "stall": _STALL,
    "abort": _NUMBER,
    "garbage": _NOTHING,
    "hang": _NOTHING,
}
"""Each fault, and what its argument (after ``=``) looks like."""

OPTIONS = (
    "x-stub-fault",
    "x-stub-delay-ms",
    "x-stub-chunk-delay-ms",
    "x-stub-tokens",
    "x-stub-cached-tokens",
    "x-stub-reasoning-tokens",
)
_KEYS = tuple(name.encode() for name in OPTIONS)


class BadOrder(Exception):
    """The caller ordered what is not on the menu."""


@dataclass(frozen=True, slots=True)
class Faults:
    """One request's orders. Empty is false."""

    ordered: Mapping[str, str] = field(default_factory=dict)
    delay_ms: int = 0
    chunk_delay_ms: int = 0
    tokens: int | None = None
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    def __contains__(self, name: str) -> bool:
        return name in self.ordered

    def __bool__(self) -> bool:
        return bool(self.ordered or self.delay_ms or self.chunk_delay_ms)

    def __str__(self) -> str:
        return ", ".join(f"{name}={argument}" if argument else name for name, argument in self.ordered.items())

    def number(self, name: str, default: int | None = None) -> int | None:
        """The argument of fault ``name``; ``default`` when it has none; ``None`` when it was not ordered."""
        argument = self.ordered.get(name)
        return default if argument == "" else None if argument is None else int(argument)

    def stall_ms(self, chunks: int) -> int:
        """How long to stall after ``chunks`` chunks."""
        milliseconds, _, after = self.ordered.get("stall", "0@0").partition("@")
        return int(milliseconds) if int(after) == chunks else 0


NONE = Faults()


def read(headers: Mapping[bytes, bytes], metadata: object) -> Faults:
    """The orders in a request's headers and in its body's ``metadata``.

    Raises:
        BadOrder: an unknown fault, or an argument of the wrong form.
    """
    given = metadata if isinstance(metadata, dict) else {}
    values = tuple(
        headers[key].decode("latin-1") if key in headers else str(given.get(name, ""))
        for name, key in zip(OPTIONS, _KEYS, strict=True)
    )
    return _parse(values) if any(values) else NONE


@lru_cache(maxsize=1024)
def _parse(values: tuple[str, ...]) -> Faults:
    faults, *amounts = values
    delay_ms, chunk_delay_ms, tokens, cached, reasoning = map(_amount, OPTIONS[1:], amounts)
    return Faults(
        ordered=dict(_fault(item) for item in faults.split(",") if item.strip()),
        delay_ms=delay_ms or 0,
        chunk_delay_ms=chunk_delay_ms or 0,
        tokens=tokens,
        cached_tokens=cached or 0,
        reasoning_tokens=reasoning or 0,
    )


def _fault(item: str) -> tuple[str, str]:
    name, _, argument = item.strip().partition("=")
    if name not in MENU:
        raise BadOrder(f"x-stub-fault: {name} is not on the menu")
    if not MENU[name].fullmatch(argument):
        raise BadOrder(f"x-stub-fault: {name} does not take {argument!r}")
    return name, argument


def _amount(name: str, value: str) -> int | None:
    if not value:
        return None
    if not _NUMBER.fullmatch(value):
        raise BadOrder(f"{name} is not a whole number: {value!r}")
    return int(value)
