"""What a call costs: measured against nginx in one interleaved run. ``docs/benchmarks.md`` explains the method."""
