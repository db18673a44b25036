"""The API's description is whole: every route is in it, and every operation says what it takes, gives and refuses."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from django.test import Client
from django.urls import get_resolver
from drf_spectacular.drainage import GENERATOR_STATS

from apps.core.http.permissions import routes
from gateway.dialects.openai import chat, embeddings
from gateway.dialects.openai.messages import _MESSAGE_FIELDS
from gateway.shell import _ROUTES
from leaky_tokens.openapi import document

pytestmark = pytest.mark.urls("leaky_tokens.api_urls")

Found = dict[str, Any]

PAGES = re.compile(r"/account(/.*)?|/swagger-ui\.html|/redoc|/v3/api-docs|/api/schema/")
"""Pages for people, and the description itself, are not described."""
PATTERNS = re.compile(r"[\^$?*]")
"""In the path of a route that is a regular expression: the account's page that says that there is nothing."""
OPERATORS = {"/livez", "/readyz", "/metrics"}
"""The gateway's routes that are not for clients."""


@pytest.fixture(scope="module")
def api() -> Found:
    GENERATOR_STATS.reset()
    built = document.build()
    assert [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache] == []
    return built


@pytest.fixture(scope="module")
def described(api: Found) -> dict[str, Found]:
    return {f"{method.upper()} {path}": found for path, method, found in document.operations(api)}


def _served() -> set[str]:
    """Method and path of every route of the services; ``*`` where the route does not say which methods."""
    every = routes(get_resolver(document.ROUTES).url_patterns)
    named = ((route.method, "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route.path)) for route in every)
    return {f"{method} {path}" for method, path in named if not PAGES.fullmatch(path) and not PATTERNS.search(path)}


def _content(api: Found, answer: Found) -> Iterator[Found]:
    """What an answer or body may hold, by the kinds of its content."""
    if "$ref" in answer:
        answer = api["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    yield from answer.get("content", {}).values()


def test_every_route_of_the_services_is_described(described: dict[str, Found]) -> None:
    served, paths = _served(), {name.split()[1] for name in described}

    assert len(served) > 40
    assert sorted(name for name in served if not name.startswith("* ") and name not in described) == []
    assert sorted(name for name in served if name.startswith("* ") and name[2:] not in paths) == []


def test_every_route_of_the_gateway_is_described(described: dict[str, Found]) -> None:
    own = {f"{method} {path}" for path, methods in _ROUTES.items() for method in methods if path not in OPERATORS}

    assert sorted(own - set(described)) == []
    assert "GET /v1/models/{model}" in described


def test_nothing_is_described_that_nobody_serves(described: dict[str, Found]) -> None:
    served = _served()
    unserved = [name for name in described if name not in served and f"* {name.split()[1]}" not in served]

    assert sorted(name.split()[1] for name in unserved) == [
        "/v1/chat/completions", "/v1/embeddings", "/v1/models", "/v1/models/{model}",
    ]  # fmt: skip


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does(api: Found, described: dict[str, Found]) -> None:
    names = [found["operationId"] for found in described.values()]
    tags = [tag["name"] for tag in api["tags"]]

    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z][A-Za-z]+", name)] == []
    assert [name for name, found in described.items() if not found.get("summary")] == []
    assert {tag for found in described.values() for tag in found["tags"]} == set(tags)
    assert tags == sorted(tags, key=str.lower)
    assert list(api["paths"]) == sorted(api["paths"])


def test_every_body_and_every_answer_has_an_example(api: Found, described: dict[str, Found]) -> None:
    lacking = [
        f"{name} {status}"
        for name, found in described.items()
        for status, answer in {"request": found.get("requestBody", {}), **found["responses"]}.items()
        if (kinds := list(_content(api, answer))) and not any("examples" in kind or "example" in kind for kind in kinds)
    ]

    assert [name for name in lacking if name not in {"GET /oauth2/authorize 400", "GET /oauth2/logout 400"}] == []


def test_every_operation_says_how_it_refuses(api: Found, described: dict[str, Found]) -> None:
    for name, found in described.items():
        answers = found["responses"]
        refusals = {status for status in answers if status >= "400"}
        assert [status for status in answers if status < "400"], name
        assert {"400", "503"} <= refusals, name
        assert "requestBody" not in found or {"413", "415"} <= refusals, name
        needs_somebody = found.get("security", [{}]) and {} not in found.get("security", [{}])
        assert not needs_somebody or {"401", "403"} <= refusals, name
        assert "{" not in name or "404" in refusals, name
    assert {"bearerAuth", "apiKeyAuth"} <= set(api["components"]["securitySchemes"])


@pytest.mark.parametrize(
    ("schema", "fields"),
    [
        ("ChatRequest", {*chat.STRUCTURE, *chat.PARAMETERS}),
        ("ChatMessage", set(_MESSAGE_FIELDS)),
        ("EmbeddingRequest", {*embeddings.STRUCTURE, *embeddings.PARAMETERS}),
    ],
)
def test_model_calls_are_described_with_the_fields_that_the_gateway_takes(
    api: Found, schema: str, fields: set[str]
) -> None:
    assert set(api["components"]["schemas"][schema]["properties"]) == fields


def test_a_name_that_two_describe_is_a_mistake(api: Found) -> None:
    with pytest.raises(ValueError, match="described twice: /v1/models"):
        document._add({"/v1/models": {}}, {"/v1/models": {}})


def test_the_document_is_made_once_and_sent_again_only_when_it_changed(client: Client) -> None:
    first = client.get("/v3/api-docs")
    misses = document.rendered.cache_info().misses
    again = client.get("/v3/api-docs", headers={"If-None-Match": first["ETag"]})

    assert (first.status_code, first["Content-Type"]) == (200, "application/json")
    assert (first.json()["openapi"], first.json()["info"]["title"]) == ("3.0.3", "Leaky Tokens API")
    assert first.json()["info"]["version"] == "v1"
    assert (again.status_code, again.content) == (304, b"")
    assert document.rendered.cache_info().misses == misses == 1


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/yaml"),
        ("application/json", "application/json"),
        ("application/yaml", "application/yaml"),
        ("text/html", "application/yaml"),
        ("application/json;q=0.9, application/yaml;q=0.1", "application/json"),
    ],
)
def test_the_schema_comes_in_the_form_that_is_wanted(client: Client, accept: str, kind: str) -> None:
    answer = client.get("/api/schema/", headers={"Accept": accept})

    assert (answer.status_code, answer["Content-Type"], answer["Vary"]) == (200, kind, "Accept")
    assert yaml.safe_load(answer.content)["info"]["title"] == "Leaky Tokens API"
