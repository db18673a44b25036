"""What the quota store has of accounts, read without changing anything: purses, buckets and the store's own clock."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import cast
from uuid import UUID

import structlog
from django.conf import settings

from apps.core.errors import StoreUnavailable
from apps.limiter.api import Limiter, bucket_key, decode_purse, purse_key, requests_key, shard_of
from apps.quotas.remaining import Purse

TIMEOUT_SECONDS = 0.5

log = structlog.get_logger(__name__)

Fields = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Gauges:
    """An account's buckets as their hashes have them, its purse, and the store's clock (Unix ms)."""

    bucket: Fields
    requests: Fields
    purse: Purse | None
    now_ms: int


def purses_of(accounts: Iterable[UUID]) -> dict[UUID, Purse]:
    """Purses by account; none where the quota store does not answer."""
    try:
        found = {account: _purse(_fields(account, purse_key(account))) for account in accounts}
    except StoreUnavailable as error:
        log.warning("purses.unknown", reason=str(error))
        return {}
    return {account: purse for account, purse in found.items() if purse is not None}


def gauges_of(account: UUID) -> Gauges:
    """What the limits of an account are measured by.

    Raises:
        StoreUnavailable: the quota store did not answer.
    """
    seconds, micro = cast("tuple[bytes, bytes]", limiter().ask(shard_of(account), "TIME"))
    return Gauges(
        bucket=_fields(account, bucket_key(account)),
        requests=_fields(account, requests_key(account)),
        purse=_purse(_fields(account, purse_key(account))),
        now_ms=int(seconds) * 1000 + int(micro) // 1000,
    )


def _purse(fields: Fields) -> Purse | None:
    purse = decode_purse(fields)
    if purse is None:
        return None
    held = purse.reserved + purse.quarantined
    return Purse(purse.epoch, purse.granted, purse.available, held, purse.spent, purse.returned, purse.live)


def _fields(account: UUID, key: str) -> Fields:
    reply = cast("list[bytes]", limiter().ask(shard_of(account), "HGETALL", key))
    return dict(zip(reply[::2], reply[1::2], strict=True))


@cache
def limiter() -> Limiter:
    """This process's client of the quota store.

    Raises:
        StoreUnavailable: it is a cluster, and none of it answers.
    """
    return Limiter(settings.QUOTA_REDIS_URL, timeout_s=TIMEOUT_SECONDS)
