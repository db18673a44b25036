"""The ledger's transactions on this thread's connection."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper

from apps.core.errors import StoreUnavailable


@contextmanager
def ledger_transaction() -> Iterator[CursorWrapper]:
    """One transaction; a database that does not answer is :class:`StoreUnavailable`.

    A broken connection is closed, so that the thread's next call opens a new one.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            yield cursor
    except (OperationalError, InterfaceError) as error:
        connection.close_if_unusable_or_obsolete()
        raise StoreUnavailable("the ledger did not answer") from error
