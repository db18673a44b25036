"""What a worker process runs beside Celery's own steps: the loops and their metrics."""

from typing import Any

import structlog
from celery import bootsteps
from prometheus_client import REGISTRY, start_http_server

from workers import settings
from workers.celery import loops, process_name
from workers.watch import HeartbeatCollector

logger = structlog.get_logger(__name__)


class RunLoops(bootsteps.StartStopStep):
    """Starts the loops before the worker looks for its broker, and stops them first when the worker is told to end.

    It hangs on no step that needs the broker: the worker's consumer, the last of all steps, is the one that waits for
    it, at the start as later, and the loops go on meanwhile.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._loops = loops()

    def start(self, worker: Any) -> None:
        """Start the exposition of metrics, when it has a port, and every loop."""
        if settings.METRICS_PORT:
            self._export()
        for loop in self._loops:
            loop.start(process_name())
        logger.info("loops started", loops=[loop.name for loop in self._loops], worker=worker.hostname)

    def close(self, _worker: Any) -> None:
        """Begin no other pass."""
        for loop in self._loops:
            loop.stop_soon()

    def stop(self, worker: Any) -> None:
        """Wait for the passes under way; what does not end in two seconds is left to PostgreSQL to roll back."""
        self.close(worker)
        for loop in self._loops:
            if not loop.join():
                logger.error("loop did not stop", loop=loop.name)

    def terminate(self, worker: Any) -> None:
        """As :meth:`stop`: also a cold end gives the leases back."""
        self.stop(worker)

    def _export(self) -> None:
        REGISTRY.register(HeartbeatCollector(loops=[loop.name for loop in self._loops]))
        start_http_server(settings.METRICS_PORT, settings.METRICS_ADDRESS)
