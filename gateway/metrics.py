"""The gateway's Prometheus series. Names are those of the system that we succeed where it had one.

With several gateway processes ``PROMETHEUS_MULTIPROC_DIR`` makes each scrape show the sum of all.
"""

import os

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

REQUESTS = Histogram(
    "http_server_requests_seconds",
    "Requests by route and status; for streams until the last byte.",
    ("application", "method", "uri", "status", "outcome"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
CALLS = Counter("token_consume", "Model calls by how they ended.", ("provider", "outcome"))
TOKENS = Counter("leaky_tokens_charged", "Tokens charged, weighted.", ("provider", "model"))
ABSORBED = Counter("leaky_tokens_absorbed", "Tokens of overruns that the house bore.", ("provider",))
USAGE_SOURCE = Counter("leaky_usage_source", "Settlements by where their usage came from.", ("provider", "source"))
CREDENTIAL_VALIDATION = Counter("gateway_api_key_validation", "Credential checks, cache hits included.", ("outcome",))
CREDENTIAL_CACHE = Counter("gateway_api_key_cache", "Look-ups in the credential cache.", ("outcome",))
BUCKET = Counter("gateway_rate_limit", "Pours into the leaky bucket.", ("outcome",))
SETTLEMENT_RETRIES = Counter("leaky_settlement_retries", "Settlements that had to be tried again.")
UNTRUSTED_USAGE = Counter("leaky_untrusted_usage", "Usages of providers that were not believed.", ("provider",))
LIVE_HOLDS = Gauge("leaky_live_holds", "Holds of calls under way.", multiprocess_mode="livesum")
PENDING_SETTLEMENTS = Gauge(
    "leaky_pending_settlements", "Settlements not yet in the ledger.", multiprocess_mode="livesum"
)
CONFIGURATION_CHECKED = Gauge(
    "leaky_configuration_checked_timestamp_seconds",
    "When the configuration was last compared.",
    multiprocess_mode="min",
)


def exposition() -> bytes:
    """All series of all gateway processes, in Prometheus' text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest()
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
