"""The text of API keys: how it is made, checked without a store, and turned into what is stored. Pure.

    leaky_<owner uuid>_<id: 10><secret: 32><checksum: 6>

The id finds the row and may be shown; the secret (190 bits) is shown once and stored as an HMAC only. The checksum is
the CRC-32 of everything before it: a typing error and most junk are refused before any store is asked, and secret
scanners can tell a key from noise.
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from apps.core.errors import InvalidCredential

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
ID_LENGTH, SECRET_LENGTH, CHECKSUM_LENGTH = 10, 32, 6

_SHAPE = re.compile(
    r"leaky_(?P<owner>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"_(?P<id>[0-9A-Za-z]{10})[0-9A-Za-z]{32}(?P<checksum>[0-9A-Za-z]{6})"
)
_ID = re.compile(r"[0-9A-Za-z]{10}")
NO_DIGEST = "0" * 64
"""What an unknown key is compared with; no HMAC will ever be found to have it."""


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """The public parts of a well-formed key. It does not carry the secret."""

    owner: UUID
    id: str


def issue(owner: UUID, choose: Callable[[str], str] = secrets.choice) -> str:
    """A new key's text. ``choose`` picks one character of the alphabet; it must be unpredictable."""
    body = "".join(choose(ALPHABET) for _ in range(ID_LENGTH + SECRET_LENGTH))
    unchecked = f"leaky_{owner}_{body}"
    return unchecked + checksum(unchecked)


def parse(text: str) -> ParsedKey:
    """Check shape and checksum; no store is asked.

    Raises:
        InvalidCredential: the text cannot be a key of ours.
    """
    match = _SHAPE.fullmatch(text)
    if match is None or checksum(text[:-CHECKSUM_LENGTH]) != match["checksum"]:
        raise InvalidCredential
    return ParsedKey(UUID(match["owner"]), match["id"])


def is_id(text: str) -> bool:
    """Whether ``text`` has the form of a key's id; nothing else is worth asking a store for."""
    return _ID.fullmatch(text) is not None


def checksum(text: str) -> str:
    """CRC-32 of ``text`` in base 62, six characters, most significant first."""
    rest, digits = zlib.crc32(text.encode()), ""
    while rest:
        rest, digit = divmod(rest, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits.rjust(CHECKSUM_LENGTH, ALPHABET[0])


def digest(text: str, pepper: str) -> str:
    """What is stored of a key: HMAC-SHA-256 of its whole text under the pepper, in hex."""
    return hmac.new(pepper.encode(), text.encode(), hashlib.sha256).hexdigest()


def matches(text: str, stored: str, pepper: str) -> bool:
    """Whether ``stored`` is this key's digest. An unknown key is compared with :data:`NO_DIGEST`: the same work."""
    return hmac.compare_digest(digest(text, pepper), stored)
