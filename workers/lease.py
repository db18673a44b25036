"""Only one at a time, over all workers: an advisory lock of a PostgreSQL session.

Why there: the loops must go on when the broker and the cache are away, and they do nothing without PostgreSQL anyway.
Why the session's lock: the server frees it in the moment that the holder's process dies; no expiry has to be guessed,
no clock compared, nothing renewed.
Why on Django's own connection of the loop's thread: the pass writes through the very session that holds the lock. A
holder that lost its session cannot write any more, so there is no moment in which two of them do.

Needs a direct connection or a pooler in session mode; behind transaction pooling a session's lock belongs to nobody.
"""

from hashlib import blake2b

import psycopg
import structlog
from django.db import connection

_CANCEL_SECONDS = 0.3

logger = structlog.get_logger(__name__)


class Lease:
    """The right to run one loop. All methods but :meth:`interrupt` belong to the loop's thread."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._session: psycopg.Connection[tuple[object, ...]] | None = None

    def take(self) -> bool:
        """Whether this thread holds the lease now, taken or kept. Free to ask while it is held: no round trip.

        Raises:
            django.db.Error: PostgreSQL did not answer; call :meth:`drop` before the next attempt.
        """
        if not self.is_held():
            self._session = connection.connection if self._try() else None
        return self._session is not None

    def is_held(self) -> bool:
        """Whether the session that took the lock is still the one that this thread works on."""
        return self._session is not None and self._session is connection.connection and not self._session.closed

    def release(self) -> None:
        """Give the lock back and close the session. Harmless when it is not held.

        Unlocking is not left to the closing: a pooled connection would go back to its pool with the lock.
        """
        if self.is_held():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [lock_key(self._name)])
        self.drop()

    def drop(self) -> None:
        """Close the session, whatever its state, and the lock with it. The next attempt begins on a new one."""
        self._session = None
        connection.close()

    def interrupt(self) -> None:
        """Cancel the statement that a pass of ours runs now. For another thread, when the process must stop."""
        session = self._session
        if session is None or session.closed:
            return
        try:
            session.cancel_safe(timeout=_CANCEL_SECONDS)
        except psycopg.Error as error:
            logger.warning("statement not cancelled", lease=self._name, reason=str(error))

    def _try(self) -> bool:
        with connection.cursor() as cursor:
            # The name is for the operator who looks at pg_stat_activity.
            cursor.execute(
                "SELECT pg_try_advisory_lock(%s), set_config('application_name', %s, false)",
                [lock_key(self._name), f"loop:{self._name}"],
            )
            row = cursor.fetchone()
        return row is not None and bool(row[0])


def lock_key(name: str) -> int:
    """The lock's number: 64 bits, signed, the same in every process."""
    return int.from_bytes(blake2b(f"leaky_tokens.loop.{name}".encode(), digest_size=8).digest(), "big", signed=True)
