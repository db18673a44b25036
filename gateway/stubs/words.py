"""Text with a known number of tokens: every word here is exactly one o200k_base token.

The tokenizer splits before each blank, so tokens never merge across words, and n words are n tokens.
"""

from collections.abc import Iterator
from zlib import crc32

import toktok

# The private door, because the public one (`toktok.batch_count`) starts threads on each call: 28 µs against 0.3.
_O200K = toktok._encoding("o200k_base")  # noqa: SLF001

_ASCII = (
    " the river runs under old bridge and carries small boats towards open sea where night ships wait for wind"
    " light over water slow morning people walk along stone paths talk about work bread rain music"
    " summer winter paper letters windows gardens trees birds children stories numbers tables clocks"
)
_OTHERS = " café für más año это жизнь größer über señor día été où день мир água coração être schön zwölf"


def _spaced(text: str) -> tuple[str, ...]:
    return tuple(f" {word}" for word in text.split())


WORDS = _spaced(_ASCII)
WIDE_WORDS = _spaced(_OTHERS)
"""Words with characters of several bytes, which a careless cut can split."""


def count(text: str) -> int:
    """How many o200k_base tokens ``text`` has. Special tokens in it count as the plain text that they are."""
    tokens: int = _O200K.count(text)
    return tokens


def seed(text: str) -> int:
    """Which words answer this prompt: the same in every process."""
    return crc32(text.encode("utf-8", "surrogatepass"))


def words(start: int, number: int) -> Iterator[str]:
    """``number`` words, the choice fixed by ``start``; together they are ``number`` tokens. Every fourth is wide."""
    step = 1 + start % (len(WORDS) - 1)
    for index in range(number):
        choice = WIDE_WORDS if index % 4 == 3 else WORDS
        yield choice[(start + step * index) % len(choice)]
