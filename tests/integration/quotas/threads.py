"""Calls that begin at the same moment, each on a connection of its own."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connection

T = TypeVar("T")


def at_once(calls: Sequence[Callable[[], T]]) -> list[T | Exception]:
    """Run all calls at once behind a barrier; a call's exception takes the place of its result."""
    barrier = threading.Barrier(len(calls), timeout=30)
    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(_on_own_connection, barrier, call) for call in calls]
    return [future.exception() or future.result() for future in futures]  # type: ignore[misc]


def _on_own_connection(barrier: threading.Barrier, call: Callable[[], T]) -> T:
    try:
        connection.ensure_connection()
        barrier.wait()
        return call()
    finally:
        connection.close()
