"""A loop that writes down when each of its passes began and ended, by PostgreSQL's clock, and in which process."""

import os

from django.db import connection

from workers.loop import Loop


def record_pass() -> int:
    """Three transactions: the beginning, the time between (``PROBE_SECONDS``), the end."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO probe_pass (pid) VALUES (%s) RETURNING id", [os.getpid()])
        (row,) = cursor.fetchone()
        cursor.execute("SELECT pg_sleep(%s)", [float(os.environ.get("PROBE_SECONDS", "0.02"))])
        cursor.execute("UPDATE probe_pass SET ended = clock_timestamp() WHERE id = %s", [row])
    return 1


LOOPS = (Loop("probe", record_pass, full=1),)
