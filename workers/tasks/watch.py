"""Signs of life: beat's own, and the watchdog of the loops."""

import structlog
from django.conf import settings

from workers import heartbeat, watch
from workers.celery import app, loops, process_name

logger = structlog.get_logger(__name__)


@app.task
def beat_heartbeat() -> None:
    """Written by a worker for beat, so that it proves all three: beat sends, the broker carries, a worker executes."""
    with heartbeat.connect(settings.REDIS_URL) as client:
        heartbeat.write(client, heartbeat.BEAT, process_name())


@app.task
def check_loops() -> list[str]:
    """Name in the log every loop that gave no sign of life for thirty seconds, and return their names."""
    keys = {heartbeat.key_of(loop.name): loop.name for loop in loops()}
    silent = [keys[key] for key in watch.stale(list(keys))]
    for name in silent:
        logger.error("loop is stale", loop=name, fresh_seconds=heartbeat.FRESH_SECONDS)
    return silent
