"""What the quota store has of accounts, read without changing anything: purses, buckets and the store's own clock."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, cast
from uuid import UUID

import redis
import structlog
from django.conf import settings

from apps.core.errors import StoreUnavailable
from apps.limiter.api import bucket_key, decode_purse, purse_key, requests_key
from apps.quotas.remaining import Purse

TIMEOUT_SECONDS = 0.5
_CLUSTER = "redis+cluster://"

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
    """Purses by account, in one trip; none where the quota store does not answer."""
    wanted = list(accounts)
    try:
        found = [_purse(fields) for fields in _read([purse_key(account) for account in wanted])]
    except StoreUnavailable as error:
        log.warning("purses.unknown", reason=str(error))
        return {}
    return {account: purse for account, purse in zip(wanted, found, strict=True) if purse is not None}


def gauges_of(accounts: Iterable[UUID]) -> dict[UUID, Gauges]:
    """What the limits of accounts are measured by.

    Raises:
        StoreUnavailable: the quota store did not answer.
    """
    wanted = list(accounts)
    keys = [key(account) for account in wanted for key in (bucket_key, requests_key, purse_key)]
    now_ms, read = _clock(), _read(keys)
    return {
        account: Gauges(read[3 * at], read[3 * at + 1], _purse(read[3 * at + 2]), now_ms)
        for at, account in enumerate(wanted)
    }


def _purse(fields: Fields) -> Purse | None:
    purse = decode_purse(fields)
    if purse is None:
        return None
    held = purse.reserved + purse.quarantined
    return Purse(purse.epoch, purse.granted, purse.available, held, purse.spent, purse.returned, purse.live)


def _read(keys: list[str]) -> list[Fields]:
    try:
        with store().pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.hgetall(key)
            return cast("list[Fields]", pipeline.execute())
    except redis.RedisError as error:
        raise StoreUnavailable("the quota store did not answer") from error


def _clock() -> int:
    try:
        seconds, micro = cast("tuple[int, int]", store().time())
    except redis.RedisError as error:
        raise StoreUnavailable("the quota store did not answer") from error
    return seconds * 1000 + micro // 1000


@cache
def store() -> Any:
    """A client of the quota store: of one server, or of a cluster, by the URL."""
    url: str = settings.QUOTA_REDIS_URL
    patience = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
    if url.startswith(_CLUSTER):
        return redis.RedisCluster.from_url(url.replace(_CLUSTER, "redis://"), **patience)
    return redis.Redis.from_url(url, **patience)
