"""The product's own Celery app with another list of loops: one whose passes leave a trace in PostgreSQL."""

from workers.celery import app

app.conf.loops = "tests.integration.workers.probe_loops:LOOPS"
