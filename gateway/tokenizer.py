"""Exact token counts, offline: the encodings are compiled into the wheel."""

from collections.abc import Callable, Iterable
from functools import cache

import toktok

Count = Callable[[str], int]


@cache
def counter(encoding: str) -> Count | None:
    """The function that counts a text's tokens in ``encoding``; None when there is no exact tokenizer for it.

    The public ``batch_count`` starts threads and costs 28 µs for a short text; the encoding's own ``count`` is the same
    code in the caller's thread, at 0.3 µs.
    """
    if not encoding:
        return None
    count: Count = toktok._encoding(encoding).count  # noqa: SLF001 (see above; the dependency is pinned by hash)
    return count


def warm(encodings: Iterable[str]) -> None:
    """Load vocabularies now: the first count of each takes a few hundred milliseconds, which no call should pay."""
    for encoding in encodings:
        if count := counter(encoding):
            count("warm")
