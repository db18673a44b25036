"""The names of the limiter's keys. All of an account's keys carry the hash tag of its shard, as in ``{q07}:purse:…``.

So one function may touch them together in a cluster, too. Ids are opaque: the limiter knows nobody.
"""

from binascii import crc32
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

SHARDS = 64
REMEMBERED_KEYS = 65_536


class AccountKeys(NamedTuple):
    """The keys of an account that every call touches, the tag of its shard, and the account as text."""

    account: str
    tag: str
    purse: str
    bucket: str
    rpm: str
    queue: str
    parts: str
    live: str
    quarantine: str
    journal: str
    mark: str


@lru_cache(maxsize=REMEMBERED_KEYS)
def keys_of(account: UUID) -> AccountKeys:
    """All key names of an account, remembered: making them costs more than sending them."""
    name, tag = str(account), tag_of(shard_of(account))
    own = (f"{tag}:{kind}:{name}" for kind in ("purse", "bucket", "rpm", "queue", "parts"))
    shards = (f"{tag}:{kind}" for kind in ("live", "quarantine", "journal", "mark"))
    return AccountKeys(name, tag, *own, *shards)


def shard_of(account: UUID) -> int:
    """The shard of an account, 0..63."""
    return crc32(account.bytes) % SHARDS


def tag_of(shard: int) -> str:
    """The hash tag that all keys of a shard begin with: ``{q07}``."""
    return f"{{q{shard:02d}}}"


def bucket_key(account: UUID) -> str:
    """``{q07}:bucket:<account>``."""
    return keys_of(account).bucket


def purse_key(account: UUID) -> str:
    """``{q07}:purse:<account>``."""
    return keys_of(account).purse


def requests_key(account: UUID) -> str:
    """``{q07}:rpm:<account>``."""
    return keys_of(account).rpm


def hold_key(account: UUID, hold: UUID) -> str:
    """``{q07}:hold:<id>``."""
    return f"{keys_of(account).tag}:hold:{hold}"


def claim_key(account: UUID, key: str) -> str:
    """``{q07}:idem:<account>:<sha256>``."""
    return f"{keys_of(account).tag}:idem:{account}:{key}"


def live_key(shard: int) -> str:
    """``{q07}:live``."""
    return f"{tag_of(shard)}:live"


def quarantine_key(shard: int) -> str:
    """``{q07}:quarantine``."""
    return f"{tag_of(shard)}:quarantine"


def journal_key(shard: int) -> str:
    """``{q07}:journal``."""
    return f"{tag_of(shard)}:journal"


def mark_key(shard: int) -> str:
    """``{q07}:mark``."""
    return f"{tag_of(shard)}:mark"


def dead_key(shard: int, credential: str) -> str:
    """``{q07}:dead:<credential>``."""
    return f"{tag_of(shard)}:dead:{credential}"


def version_key(shard: int, user: str) -> str:
    """``{q07}:tv:<user>``."""
    return f"{tag_of(shard)}:tv:{user}"
