"""Health and metrics of a Django process."""

import os

from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector


@require_safe
def livez(_request: HttpRequest) -> JsonResponse:
    """The process runs. Depends on no store."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(_request: HttpRequest) -> JsonResponse:
    """PostgreSQL and the cache answer: 200, else 503 with the name of what does not."""
    failing = [name for name, probe in (("postgresql", _ask_database), ("cache", _ask_cache)) if not probe()]
    return JsonResponse(
        {"status": "unavailable" if failing else "ok", "failing": failing}, status=503 if failing else 200
    )


@require_safe
def metrics(_request: HttpRequest) -> HttpResponse:
    """Prometheus exposition of this process; of all that share its directory where several serve one port."""
    return HttpResponse(generate_latest(_registry()), content_type=CONTENT_TYPE_LATEST)


def _registry() -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def _ask_database() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception:  # noqa: BLE001 (whatever the driver raises, the answer is "not ready")
        connection.close()
        return False
    return True


def _ask_cache() -> bool:
    try:
        cache.get("readyz")
    except Exception:  # noqa: BLE001 (whatever the client raises, the answer is "not ready")
        return False
    return True
