"""Signs of life in the cache: a key with a time to live. A key that is there is fresh; nobody compares clocks.

Imports no Django, so that a launcher or a container's health check can ask cheaply (:mod:`workers.ready`).
"""

import json
import time
from datetime import UTC, datetime

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers import metrics

FRESH_SECONDS = 30
BEAT = "beat:heartbeat"

_TIMEOUT_SECONDS = 0.3
_EVERY_SECONDS = 1.0
_AFTER_FAILURE_SECONDS = 5.0

logger = structlog.get_logger(__name__)


def key_of(loop: str) -> str:
    """The cache key of a loop's heartbeat."""
    return f"loop:{loop}"


def connect(redis_url: str) -> redis.Redis:
    """A client that gives up quickly and does not retry: a sign of life that comes late says nothing."""
    return redis.Redis.from_url(
        redis_url,
        socket_timeout=_TIMEOUT_SECONDS,
        socket_connect_timeout=_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def write(client: redis.Redis, key: str, owner: str) -> None:
    """Be alive for the next :data:`FRESH_SECONDS`. The time inside is for people; freshness is the key's own age.

    Raises:
        redis.RedisError: the cache did not answer.
    """
    sign = {"owner": owner, "time": datetime.now(UTC).isoformat(timespec="milliseconds")}
    client.set(key, json.dumps(sign), ex=FRESH_SECONDS)


def is_fresh(client: redis.Redis, key: str) -> bool:
    """Whether ``key`` was written within the last :data:`FRESH_SECONDS`.

    Raises:
        redis.RedisError: the cache did not answer.
    """
    return bool(client.exists(key))


class Heartbeat:
    """The sign of life of one loop. It never raises and costs little: the loop matters, its heartbeat does not."""

    def __init__(self, redis_url: str, loop: str, owner: str) -> None:
        self._client = connect(redis_url)
        self._loop = loop
        self._owner = owner
        self._due = 0.0

    def write(self) -> None:
        """Write at most once a second; after a failure wait longer, so that a dead cache does not slow the passes."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + (_EVERY_SECONDS if self._try_to_write() else _AFTER_FAILURE_SECONDS)

    def remove(self) -> None:
        """Say that this process stopped, instead of leaving its last sign to grow old."""
        try:
            self._client.delete(key_of(self._loop))
        except redis.RedisError as error:
            self._count(error)

    def _try_to_write(self) -> bool:
        try:
            write(self._client, key_of(self._loop), self._owner)
        except redis.RedisError as error:
            self._count(error)
            return False
        return True

    def _count(self, error: redis.RedisError) -> None:
        metrics.HEARTBEAT_FAILURES.labels(self._loop).inc()
        logger.warning("heartbeat not written", loop=self._loop, reason=str(error))
