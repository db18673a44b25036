"""Prometheus metrics of the loops, one process each. The number of passes is the count of the duration histogram."""

from prometheus_client import Counter, Gauge, Histogram

PASS_SECONDS = Histogram(
    "leaky_loop_pass_seconds",
    "Duration of a pass, failed ones included.",
    ["loop"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
ITEMS = Counter("leaky_loop_items", "What the passes did, in items of the loop.", ["loop"])
ERRORS = Counter("leaky_loop_errors", "Passes, and attempts to become the holder, that raised.", ["loop"])
LAST_SUCCESS = Gauge("leaky_loop_last_success_timestamp_seconds", "When a pass last succeeded here.", ["loop"])
IS_LEADER = Gauge("leaky_loop_is_leader", "1 while this process holds the loop's lease.", ["loop"])
HEARTBEAT_FAILURES = Counter("leaky_loop_heartbeat_failures", "Heartbeats that the cache did not take.", ["loop"])
