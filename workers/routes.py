"""Which queue a task goes to. A worker takes from all of them unless it is told otherwise (``-Q``)."""

from kombu import Queue

DEFAULT_QUEUE = "work"
WATCH_QUEUE = "watch"
"""Signs of life have a queue of their own: they must not wait behind work, or a busy system would look dead."""

QUEUES = (Queue(DEFAULT_QUEUE), Queue(WATCH_QUEUE))

ROUTES = {"workers.tasks.watch.*": {"queue": WATCH_QUEUE}}
