"""``python -m benchmarks.drain``: the workers' loops, which book journals and keep leases, until it is ended."""

import signal
import sys
import threading

import django

django.setup()

from workers.loops import LOOPS  # noqa: E402 - it reaches the apps


def main() -> None:
    """Start every loop, and stay."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for loop in LOOPS:
        loop.start("benchmark")
    threading.Event().wait()


if __name__ == "__main__":
    main()
