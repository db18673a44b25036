"""A loop: what must flow within a second, pass after pass, by one holder at a time over all workers."""

import threading
import time
from collections.abc import Callable

import structlog
from django.conf import settings
from django.db import Error

from workers import metrics
from workers.heartbeat import Heartbeat
from workers.lease import Lease

TAKEOVER_SECONDS = 1.0
"""How often a worker that does not hold the lease asks for it."""

BACK_OFF_SECONDS = (0.5, 1.0, 2.0, 5.0)
"""The wait after the first, second, … failed pass in a row; the last goes on. Short: a store that is back is used."""

_FINISH_SECONDS = 1.0
_INTERRUPT_SECONDS = 0.6
_INTERRUPT_EVERY_SECONDS = 0.1

logger = structlog.get_logger(__name__)


class Loop:
    """Runs ``work`` in a thread of its own until it is stopped. Needs PostgreSQL only; broker and cache may be away.

    ``work`` does one pass in short transactions through Django's default connection and returns how many items it did.
    A pass that did ``full`` or more is followed by the next at once, else after ``idle_seconds``. What it raises is
    logged and counted, its database session is replaced, and the loop goes on after a back-off, in which another
    worker may take over. A pass must be safe to repeat: the process can die after any line of it.
    """

    def __init__(self, name: str, work: Callable[[], int], *, full: int, idle_seconds: float = 1.0) -> None:
        self.name = name
        self._work = work
        self._full = full
        self._idle_seconds = idle_seconds
        self._lease = Lease(name)
        self._stopping = threading.Event()
        self._failures = 0

    def start(self, owner: str) -> None:
        """Begin. ``owner`` names this process in the heartbeat.

        The thread is a daemon: one that cannot be stopped must not keep the process, and PostgreSQL rolls it back.
        """
        self._heartbeat = Heartbeat(settings.REDIS_URL, self.name, owner)
        self._thread = threading.Thread(target=self._run, name=f"loop-{self.name}", daemon=True)
        self._thread.start()

    def stop_soon(self) -> None:
        """Begin no other pass. Returns at once, so that all loops of a process can end at the same time."""
        self._stopping.set()

    def join(self) -> bool:
        """Wait for the end of the pass, and after a second cancel its statements. At most two seconds in all.

        Again and again, because a cancellation between two statements of a pass meets none. Returns whether the loop
        has ended.
        """
        self._thread.join(_FINISH_SECONDS)
        deadline = time.monotonic() + _INTERRUPT_SECONDS
        while self._thread.is_alive() and time.monotonic() < deadline:
            self._lease.interrupt()
            self._thread.join(_INTERRUPT_EVERY_SECONDS)
        return not self._thread.is_alive()

    def _run(self) -> None:
        wait = 0.0
        while not self._stopping.wait(wait):
            wait = self._turn()
        self._end()

    def _turn(self) -> float:
        """One attempt at a pass. Returns the seconds until the next."""
        try:
            done = self._pass() if self._lease.take() else None
        except Exception:  # a pass may raise anything; it is logged, counted, and never ends the loop
            logger.exception("loop failed", loop=self.name, failures_in_a_row=self._failures + 1)
            return self._fail()
        self._failures = 0
        metrics.IS_LEADER.labels(self.name).set(self._lease.is_held())
        if done is None:
            return TAKEOVER_SECONDS
        return 0.0 if done >= self._full else self._idle_seconds

    def _pass(self) -> int:
        with metrics.PASS_SECONDS.labels(self.name).time():
            done = self._work()
        metrics.ITEMS.labels(self.name).inc(done)
        metrics.LAST_SUCCESS.labels(self.name).set_to_current_time()
        self._heartbeat.write()
        return done

    def _fail(self) -> float:
        metrics.ERRORS.labels(self.name).inc()
        metrics.IS_LEADER.labels(self.name).set(0)
        self._lease.drop()
        wait = BACK_OFF_SECONDS[min(self._failures, len(BACK_OFF_SECONDS) - 1)]
        self._failures += 1
        return wait

    def _end(self) -> None:
        """Sign off before the lease goes, so that the sign of the next holder is never the one that is removed."""
        if self._lease.is_held():
            self._heartbeat.remove()
        metrics.IS_LEADER.labels(self.name).set(0)
        try:
            self._lease.release()
        except Error as error:
            # A session that does not answer any more has no lock to give back.
            logger.warning("lease went with its session", loop=self.name, reason=str(error))
            self._lease.drop()
