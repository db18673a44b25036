"""Admission by leaky bucket: what may be poured, and the calls that do it in Valkey.

The limiter knows opaque account ids and no client: whoever holds a connection sends ``call.script``, ``call.keys`` and
``call.args`` and gives the reply to ``call.decode``.
"""

from binascii import crc32
from functools import lru_cache
from uuid import UUID

from apps.limiter.domain import Bucket, Decision
from apps.limiter.script import LEAKY_BUCKET, Call, Script, adjust_call, pour_call

__all__ = ["LEAKY_BUCKET", "Bucket", "Call", "Decision", "Script", "adjust_call", "bucket_key", "pour_call"]

SHARDS = 64
REMEMBERED_KEYS = 65_536


@lru_cache(maxsize=REMEMBERED_KEYS)
def bucket_key(account: UUID) -> str:
    """The key of an account's bucket, with the hash tag of its shard: ``{q07}:bucket:<uuid>``.

    All keys of an account carry the tag of its shard, so that one script may touch them in a cluster too.
    """
    return f"{{q{crc32(account.bytes) % SHARDS:02d}}}:bucket:{account}"
