"""Labels of the request metrics: the names that dashboards know, and no more of them than there are routes."""

import pytest
from django.urls import ResolverMatch

from leaky_tokens.telemetry import NO_ROUTE, SEVERAL, application_of, method_of, uri_of


def match(route: str, *namespaces: str) -> ResolverMatch:
    return ResolverMatch(lambda: None, (), {}, namespaces=list(namespaces), route=route)


@pytest.mark.parametrize(
    ("route", "uri"),
    [
        ("livez", "/livez"),
        ("api/v1/tokens/purchase/<uuid:saga_id>", "/api/v1/tokens/purchase/{saga_id}"),
        ("admin/accounts/user/<path:object_id>/change/", "/admin/accounts/user/{object_id}/change/"),
        ("items/<name>/<int:number>", "/items/{name}/{number}"),
    ],
)
def test_uri_is_the_route_and_never_the_path(route: str, uri: str) -> None:
    assert uri_of(match(route)) == uri


def test_a_path_without_a_route_makes_no_series_of_its_own() -> None:
    assert uri_of(None) == NO_ROUTE


@pytest.mark.parametrize(
    ("namespaces", "services", "application"),
    [
        (("token",), ["token"], "token-service"),
        (("token",), ["auth", "token", "console"], "token-service"),
        (("admin",), ["token", "console"], "console"),
        ((), ["token"], "token-service"),
        ((), ["auth", "token"], SEVERAL),
        (("unknown",), ["auth"], "auth-server"),
    ],
)
def test_application_is_the_routes_service_else_the_process_only_one(
    namespaces: tuple[str, ...], services: list[str], application: str
) -> None:
    assert application_of(match("x", *namespaces), services) == application


@pytest.mark.parametrize(("method", "label"), [("GET", "GET"), ("PATCH", "PATCH"), ("FOO", "OTHER"), (None, "OTHER")])
def test_a_client_cannot_make_series_by_methods(method: str | None, label: str) -> None:
    assert method_of(method) == label
