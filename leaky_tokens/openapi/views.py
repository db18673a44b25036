"""Where the API's description is: the document for programs, and two pages that show it to people."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.views.decorators.http import condition, require_safe

from apps.core.http.permissions import ANYONE, declare
from leaky_tokens.openapi.document import rendered

JSON, YAML = "application/json", "application/yaml"
MAX_AGE_SECONDS = 60


def _etag(_request: HttpRequest) -> str:
    return rendered().etag


@require_safe
@condition(etag_func=_etag)
def as_json(_request: HttpRequest) -> HttpResponse:
    """The document, as springdoc's clients ask for it."""
    return _answer(rendered().json, JSON)


def _etag_of_form(request: HttpRequest) -> str:
    form = "json" if _wants_json(request) else "yaml"
    return f'{rendered().etag[:-1]}-{form}"'


@require_safe
@condition(etag_func=_etag_of_form)
def as_wanted(request: HttpRequest) -> HttpResponse:
    """The document in YAML, or in JSON for who accepts that before YAML."""
    answer = _answer(rendered().json, JSON) if _wants_json(request) else _answer(rendered().yaml, YAML)
    answer["Vary"] = "Accept"
    return answer


def _wants_json(request: HttpRequest) -> bool:
    return request.get_preferred_type([YAML, JSON]) == JSON


def _answer(body: bytes, kind: str) -> HttpResponse:
    return HttpResponse(body, content_type=kind, headers={"Cache-Control": f"public, max-age={MAX_AGE_SECONDS}"})


@require_safe
def swagger(request: HttpRequest) -> HttpResponse:
    """Swagger UI: the document, and calls to try."""
    return render(request, "openapi/swagger.html")


@require_safe
def redoc(request: HttpRequest) -> HttpResponse:
    """ReDoc: the document, to read."""
    return render(request, "openapi/redoc.html")


urlpatterns: list[URLPattern] = [
    path("v3/api-docs", declare(ANYONE, as_json), name="api-docs"),
    path("api/schema/", declare(ANYONE, as_wanted), name="api-schema"),
    path("swagger-ui.html", declare(ANYONE, swagger), name="swagger"),
    path("redoc", declare(ANYONE, redoc), name="redoc"),
]
