"""Requests leave one observation and one request id, under WSGI as under ASGI."""

import asyncio

import pytest
from django.conf import LazySettings
from django.test import AsyncClient, Client
from prometheus_client import REGISTRY

MIDDLEWARE = ["leaky_tokens.telemetry.RequestContextMiddleware", "leaky_tokens.telemetry.RequestMetricsMiddleware"]


def count(uri: str, status: str, outcome: str, method: str = "GET") -> float:
    labels = {
        "application": "token-service", "method": method, "uri": uri, "status": status, "outcome": outcome,
    }  # fmt: skip
    return REGISTRY.get_sample_value("http_server_requests_seconds_count", labels) or 0


@pytest.fixture(autouse=True)
def middleware(settings: LazySettings) -> None:
    settings.MIDDLEWARE = MIDDLEWARE
    settings.SERVICES = ["token"]


def test_sync_requests_are_observed_once_under_their_route() -> None:
    before = count("/livez", "200", "SUCCESS"), count("NOT_FOUND", "404", "CLIENT_ERROR")
    answer = Client().get("/livez", headers={"x-request-id": "caller-1"})
    Client().get("/no/such/path")
    assert answer.headers["x-request-id"] == answer.headers["x-correlation-id"] == "caller-1"
    assert count("/livez", "200", "SUCCESS") == before[0] + 1
    assert count("NOT_FOUND", "404", "CLIENT_ERROR") == before[1] + 1


async def test_async_requests_are_observed_and_keep_their_own_ids() -> None:
    before = count("/livez", "200", "SUCCESS")
    clients = [AsyncClient() for _ in range(20)]
    answers = await asyncio.gather(
        *(client.get("/livez", headers={"x-request-id": f"caller-{i}"}) for i, client in enumerate(clients))
    )
    assert [answer.headers["x-request-id"] for answer in answers] == [f"caller-{i}" for i in range(20)]
    assert count("/livez", "200", "SUCCESS") == before + 20


def test_a_refused_method_is_a_client_error() -> None:
    before = count("/livez", "405", "CLIENT_ERROR", "POST")
    Client().post("/livez")
    assert count("/livez", "405", "CLIENT_ERROR", "POST") == before + 1


def test_metrics_page_shows_buckets_for_the_alert_rules() -> None:
    Client().get("/livez")
    page = Client().get("/metrics").content.decode()
    assert 'http_server_requests_seconds_bucket{application="token-service",le="1.0",method="GET"' in page
