"""Whose rows a database connection sees: the second line behind the selectors (PostgreSQL row-level security).

Processes that serve the API open their connections with ``leaky.scope=tenant`` (``LEAKY_DATABASE_SCOPE``): a tenant
table then shows the rows of ``leaky.user`` and of that user's organisations, and nothing while no user is set. The
gateway, workers, console and commands see all. Policies are made by the migrations of the tables' apps, with the
functions that ``outbox``'s migrations define.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.conf import settings
from django.db import connection
from psycopg.pq import TransactionStatus

TENANT, ALL = "tenant", "all"

_SET = "SELECT set_config('leaky.scope', %s, false), set_config('leaky.user', %s, false)"
_READ = "SELECT current_setting('leaky.scope', true), current_setting('leaky.user', true)"


def enter(user_id: UUID | None, *, everything: bool = False) -> None:
    """See the rows of ``user_id`` from now on, or ``everything`` (an ADMIN). Nothing to do where all is seen anyway."""
    if settings.DATABASE_SCOPE == TENANT:
        _set(ALL if everything else TENANT, str(user_id or ""))


def leave() -> None:
    """See nobody's rows from now on."""
    if settings.DATABASE_SCOPE == TENANT and connection.connection is not None:
        _set(TENANT, "")


@contextmanager
def everyone() -> Iterator[None]:
    """For the few steps that decide *who* the caller is, and so cannot be limited to the caller's rows yet."""
    if settings.DATABASE_SCOPE == ALL:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(_READ)
        scope, user = cursor.fetchone()
    _set(ALL, user or "")
    try:
        yield
    finally:
        if connection.connection.info.transaction_status != TransactionStatus.INERROR:
            _set(scope or TENANT, user or "")  # A broken transaction takes the setting back by itself.


def _set(scope: str, user: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_SET, [scope, user])
