"""The Celery app of worker and beat: ``python -m celery -A workers.celery worker | beat``.

Celery's own fixup calls ``django.setup()`` when worker or beat start, before it imports what ``include`` and ``loops``
name; so nothing imported here may reach a model.
"""

import os
import socket
from typing import Any

from celery import Celery, signals
from kombu.exceptions import OperationalError
from kombu.utils.imports import symbol_by_name

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leaky_tokens.settings.prod")

import structlog
from django.conf import settings as django_settings

from workers import routes, settings
from workers.loop import Loop
from workers.schedule import BEAT_SECONDS, SCHEDULE

logger = structlog.get_logger(__name__)

app = Celery("leaky_tokens")
app.conf.update(
    broker_url=django_settings.REDIS_URL,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={"socket_connect_timeout": 2, "socket_keepalive": True},
    # Threads, because the loops are threads: a fork beside them would inherit their locks and database sessions. Work
    # here waits for stores; what would need the processor goes to a process of its own.
    worker_pool="threads",
    worker_concurrency=settings.CONCURRENCY,
    worker_prefetch_multiplier=1,
    # Early acknowledgement: late ones are delivered again after an hour to a second worker while the first still
    # works. A task that dies with its worker runs again when it is due again.
    task_acks_late=False,
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
    task_default_queue=routes.DEFAULT_QUEUE,
    task_queues=routes.QUEUES,
    task_routes=routes.ROUTES,
    beat_schedule=SCHEDULE,
    # Anyone who reaches the broker could stop workers by it; processes are watched by their heartbeats and metrics.
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    include=["workers.tasks.watch", "workers.tasks.accounts", "workers.tasks.orders", "workers.tasks.quotas"],
    loops="workers.loops:LOOPS",
)
app.steps["worker"].add("workers.bootsteps:RunLoops")


def loops() -> tuple[Loop, ...]:
    """Every loop of a worker. Django must be set up."""
    found: tuple[Loop, ...] = symbol_by_name(app.conf.loops)
    return found


def process_name() -> str:
    """This process as others see it: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


@signals.setup_logging.connect
def _keep_logging(**_options: Any) -> None:
    """Having a receiver is all that Celery asks: it then leaves the logging that Django's settings installed."""


@signals.beat_init.connect
def _announce_beat(**_options: Any) -> None:
    """Send the first heartbeat at once: whoever waits for beat need not wait for its first turn."""
    try:
        app.send_task("workers.tasks.watch.beat_heartbeat", expires=BEAT_SECONDS, retry=False)
    except OperationalError as error:
        logger.warning("broker away; beat goes on without it", reason=str(error))
