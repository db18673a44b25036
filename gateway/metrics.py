"""The gateway's Prometheus series. Names are those of the system that we succeed where it had one.

With several gateway processes ``PROMETHEUS_MULTIPROC_DIR`` makes each scrape show the sum of all.
"""

import asyncio
import os
from bisect import bisect_left
from collections import Counter as Counted

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

OWN = CollectorRegistry()
"""Apart from the default registry, where other processes of ours have series of the same names."""

FLUSH_SECONDS = 0.2
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

REQUESTS = Histogram(
    "http_server_requests_seconds",
    "Requests by route and status; for streams until the last byte.",
    ("application", "method", "uri", "status", "outcome"),
    buckets=BUCKETS,
    registry=OWN,
)
CALLS = Counter("token_consume", "Model calls by how they ended.", ("provider", "outcome"), registry=OWN)
TOKENS = Counter("leaky_tokens_charged", "Tokens charged, weighted.", ("provider", "model"), registry=OWN)
ABSORBED = Counter("leaky_tokens_absorbed", "Tokens of overruns that the house bore.", ("provider",), registry=OWN)
USAGE_SOURCE = Counter(
    "leaky_usage_source", "Settlements by where their usage came from.", ("provider", "source"), registry=OWN
)
CREDENTIAL_VALIDATION = Counter(
    "gateway_api_key_validation", "Credential checks, cache hits included.", ("outcome",), registry=OWN
)
CREDENTIAL_CACHE = Counter("gateway_api_key_cache", "Look-ups in the credential cache.", ("outcome",), registry=OWN)
BUCKET = Counter("gateway_rate_limit", "Pours into the leaky bucket.", ("outcome",), registry=OWN)
REFUSALS = Counter("leaky_refusals", "Model calls that a limit refused.", ("provider", "reason"), registry=OWN)
RESERVES = Counter("leaky_reserves", "Reservations asked of Valkey, by its answer.", ("outcome",), registry=OWN)
SETTLES = Counter("leaky_settles", "Settlements sent to Valkey, by its answer.", ("outcome",), registry=OWN)
GROWTHS = Counter("leaky_hold_growths", "Holds that were to grow with their streams.", ("outcome",), registry=OWN)
LEASES = Counter("leaky_lease_requests", "Leases asked of the ledger, by its answer.", ("outcome",), registry=OWN)
PARTS = Counter("leaky_lease_parts", "Parts of leases sent to purses.", ("kind", "outcome"), registry=OWN)
TOP_UPS = Counter("leaky_lease_top_ups", "Purses topped up beside the calls, begun.", registry=OWN)
RESENT = Counter("leaky_spool_resent", "Ends of calls that were sent again.", registry=OWN)
WAITS = Counter("leaky_shape_waits", "Calls that waited for their turn, by how that ended.", ("outcome",), registry=OWN)
WAITED_MS = Counter("leaky_shape_wait_ms", "Milliseconds for which calls waited for their turn.", registry=OWN)
SETTLEMENT_RETRIES = Counter("leaky_settlement_retries", "Settlements that had to be tried again.", registry=OWN)
UNTRUSTED_USAGE = Counter(
    "leaky_untrusted_usage", "Usages of providers that were not believed.", ("provider",), registry=OWN
)
LIVE_HOLDS = Gauge("leaky_live_holds", "Holds of calls under way.", multiprocess_mode="livesum", registry=OWN)
PENDING_SETTLEMENTS = Gauge(
    "leaky_pending_settlements",
    "Settlements not yet in the ledger.",
    multiprocess_mode="livesum",
    registry=OWN,
)
SPOOL_PENDING = Gauge(
    "leaky_spool_pending", "Calls in spools that the ledger has not.", multiprocess_mode="livesum", registry=OWN
)
SPOOL_AGE = Gauge(
    "leaky_spool_oldest_seconds",
    "For how long the oldest ended call has waited for the ledger.",
    multiprocess_mode="livemax",
    registry=OWN,
)
CONFIGURATION_CHECKED = Gauge(
    "leaky_configuration_checked_timestamp_seconds",
    "When the configuration was last compared.",
    multiprocess_mode="min",
    registry=OWN,
)


class Tally:
    """Counts and times of calls, kept in memory and written to Prometheus' series a few times a second.

    An increment of a shared series costs several microseconds (a lock, a process check, a mapped file), and a call
    makes a dozen. A killed gateway loses the last tenths of a second of its statistics; nothing is accounted by them.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[Counter, tuple[str, ...]], int] = {}
        self._times: dict[tuple[str, ...], list[float]] = {}
        self._flushing: asyncio.TimerHandle | None = None
        self.live_holds = self.pending_settlements = self.spool_pending = 0
        self.spool_age_s = 0.0

    def count(self, counter: Counter, *labels: str, amount: int = 1) -> None:
        """Add to a counter."""
        key = (counter, labels)
        self._counts[key] = self._counts.get(key, 0) + amount
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def time(self, seconds: float, *labels: str) -> None:
        """Note how long a request took."""
        self._times.setdefault(labels, []).append(seconds)

    def flush(self) -> None:
        """Write what has been gathered."""
        self._flushing = None
        counts, self._counts = self._counts, {}
        for (counter, labels), amount in counts.items():
            (counter.labels(*labels) if labels else counter).inc(amount)
        times, self._times = self._times, {}
        for labels, seconds in times.items():
            _observe_all(REQUESTS.labels(*labels), seconds)
        LIVE_HOLDS.set(self.live_holds)
        PENDING_SETTLEMENTS.set(self.pending_settlements)
        SPOOL_PENDING.set(self.spool_pending)
        SPOOL_AGE.set(self.spool_age_s)


def _observe_all(histogram: Histogram, seconds: list[float]) -> None:
    """What ``observe`` does for each, in one write per bucket. The library has no door for it."""
    histogram._sum.inc(sum(seconds))  # noqa: SLF001
    for index, amount in Counted(bisect_left(BUCKETS, value) for value in seconds).items():
        histogram._buckets[index].inc(amount)  # noqa: SLF001


tally = Tally()


def exposition() -> bytes:
    """All series of all gateway processes, in Prometheus' text format."""
    tally.flush()
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(OWN) + generate_latest()
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
