"""Who has not given a sign of life: asked by the watchdog task, and by every scrape of a worker's metrics."""

from collections.abc import Iterable, Sequence

import redis
import structlog
from django.conf import settings
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from workers import heartbeat

logger = structlog.get_logger(__name__)


def stale(keys: Sequence[str]) -> list[str]:
    """Those of ``keys`` that are not fresh.

    Raises:
        redis.RedisError: the cache did not answer, so nobody knows.
    """
    with heartbeat.connect(settings.REDIS_URL) as client:
        return [key for key in keys if not heartbeat.is_fresh(client, key)]


class HeartbeatCollector(Collector):
    """``leaky_loop_stale`` and ``leaky_beat_stale``, found out when they are scraped.

    Not set by the watchdog task: a worker that once ran it and said "stale" would say so for ever, and a dead beat
    would take the alarm with it. With the cache away there is no sample: not knowing is neither 0 nor 1.
    """

    def __init__(self, *, loops: Sequence[str]) -> None:
        self._loops = loops

    def describe(self) -> Iterable[Metric]:
        """Names without a question to the cache, for the registry."""
        return self._families()

    def collect(self) -> Iterable[Metric]:
        """1 for each that gave no sign for thirty seconds, else 0."""
        of_loops, of_beat = families = self._families()
        keys = {name: heartbeat.key_of(name) for name in self._loops}
        try:
            silent = stale([*keys.values(), heartbeat.BEAT])
        except redis.RedisError as error:
            logger.warning("heartbeats not read", reason=str(error))
            return families
        for name, key in keys.items():
            of_loops.add_metric([name], int(key in silent))
        of_beat.add_metric([], int(heartbeat.BEAT in silent))
        return families

    def _families(self) -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
        return (
            GaugeMetricFamily("leaky_loop_stale", "1 when no worker runs this loop.", labels=["loop"]),
            GaugeMetricFamily("leaky_beat_stale", "1 when no task sent by beat was executed.", labels=[]),
        )
