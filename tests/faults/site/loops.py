"""``python -m tests.faults.site.loops``: the loops of a worker, and no Celery around them."""

import signal
import threading

import django

from workers.celery import loops, process_name


def main() -> None:
    """Run them until SIGTERM."""
    django.setup()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    running = loops()
    for loop in running:
        loop.start(process_name())
    print("loops started", flush=True)  # noqa: T201 (the sign that the tests wait for)
    ended.wait()
    for loop in running:
        loop.stop_soon()
    for loop in running:
        loop.join()


if __name__ == "__main__":
    main()
