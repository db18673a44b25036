"""Whether worker or beat is ready, asked without Django: for a launcher or a container's health check.

``python -m workers.ready worker|beat`` asks the cache at ``REDIS_URL`` and exits with 0 or 1.
"""

import os
import sys

import redis

from workers import heartbeat

SIGNS = {"worker": heartbeat.key_of("expire_holds"), "beat": heartbeat.BEAT}
"""A worker is ready when a loop makes passes; beat when a task of its own was executed (so it needs a worker)."""


def is_ready(redis_url: str, name: str) -> bool:
    """Whether ``name`` (``worker`` or ``beat``) gave a sign of life; not ready while the cache does not answer."""
    try:
        with heartbeat.connect(redis_url) as client:
            return heartbeat.is_fresh(client, SIGNS[name])
    except redis.RedisError:
        return False


if __name__ == "__main__":
    sys.exit(0 if is_ready(os.environ["REDIS_URL"], sys.argv[1]) else 1)
