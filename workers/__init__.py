"""Background work: Celery tasks on a schedule, and the loops that run inside the worker processes."""
