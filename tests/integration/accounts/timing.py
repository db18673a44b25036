"""Whether two ways take the same time, as far as samples of them can tell."""

import statistics
from collections.abc import Sequence


def trimmed(values: Sequence[float]) -> list[float]:
    """Without the slowest tenth: pauses of the machine, not of ours."""
    return sorted(values)[: len(values) * 9 // 10]


def welch(first: Sequence[float], second: Sequence[float]) -> float:
    """Welch's t of two samples: beyond 4.5 either way, their means differ."""
    spread = statistics.variance(first) / len(first) + statistics.variance(second) / len(second)
    return float((statistics.mean(first) - statistics.mean(second)) / spread**0.5)
