"""Settings of the worker processes only."""

from apps.core import environment

CONCURRENCY = environment.integer(
    "WORKER_CONCURRENCY", 2, "Tasks that one worker process runs at a time (loops not counted).", minimum=1, maximum=64
)
METRICS_PORT = environment.integer(
    "WORKER_METRICS_PORT", 0, "Port of a worker's Prometheus exposition; 0 turns it off.", minimum=0, maximum=65535
)
METRICS_ADDRESS = environment.text(
    "WORKER_METRICS_ADDRESS", "127.0.0.1", "Address on which a worker's Prometheus exposition listens."
)
DRAINERS = environment.integer(
    "WORKER_DRAINERS",
    4,
    "Loops that share the 64 shards of Valkey's journals; the same in every worker.",
    minimum=1,
    maximum=64,
)
