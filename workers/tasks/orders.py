"""Housekeeping of operators' orders."""

from apps.quotas import api
from workers.celery import app


@app.task
def pursue_orders() -> int:
    """Take what has come back from calls for revocations that are not done yet."""
    return api.pursue_orders()


@app.task
def expire_orders() -> int:
    """End orders that nobody approved in time."""
    return api.expire_orders()
