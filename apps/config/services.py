"""Raising a topic's version and telling the gateways, who poll behind the announcement."""

from functools import cache, partial

import redis
import structlog
from django.conf import settings
from django.db import connection, transaction
from prometheus_client import Counter

from apps.config.domain import CHANNEL, change_message

PUBLISH_TIMEOUT_SECONDS = 0.5
"""The change is committed by then; nobody should wait long for an announcement that a poll makes up for."""

_log = structlog.get_logger(__name__)
_failures = Counter("leaky_config_publish_failures_total", "Changes that could not be announced to the gateways")

_RAISE = """
    INSERT INTO config_configversion AS current (topic, version) VALUES (%s, 1)
    ON CONFLICT (topic) DO UPDATE SET version = current.version + 1, changed_at = now()
    RETURNING version
"""
_NAME = "INSERT INTO config_configchange (topic, version, subject) SELECT %s, %s, unnest(%s::text[])"
_PRUNE = "DELETE FROM config_configchange WHERE topic = %s AND changed_at < now() - interval '1 hour'"


def touch(topic: str, *subjects: str) -> int:
    """Raise ``topic``'s version within the caller's transaction; announce it once that has committed.

    ``subjects`` (``user:<id>``, ``org:<id>``, ``key:<id>``, ``client:<id>``, ``session:<id>``) are whom the change
    concerns; gateways then forget nobody else. None named: everybody.

    The row stays locked until then, so versions of a topic are seen in commit order and none is given twice.
    A transaction that touches several topics does so in alphabetical order, lest two of them wait for each other.

    Raises:
        TransactionManagementError: there is no transaction: the change and its version would not commit together.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("touch() belongs into the transaction of the change")
    with connection.cursor() as cursor:
        cursor.execute(_RAISE, [topic])
        (version,) = cursor.fetchone()
        if subjects:
            cursor.execute(_PRUNE, [topic])
            cursor.execute(_NAME, [topic, version, sorted(set(subjects))])
    transaction.on_commit(partial(_announce, topic, version))
    return int(version)


def _announce(topic: str, version: int) -> None:
    try:
        _publisher().publish(CHANNEL, change_message(topic, version))
    except redis.RedisError:
        _failures.inc()
        _log.warning("config.publish_failed", topic=topic, version=version, exc_info=True)


@cache
def _publisher() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=PUBLISH_TIMEOUT_SECONDS,
        socket_connect_timeout=PUBLISH_TIMEOUT_SECONDS,
    )
