"""What the OpenAPI page says about all routes alike: refusals and lists. For ``@extend_schema`` only."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers

from apps.core.http.pagination import DEFAULT_LIMIT, MOST


class FieldProblemSerializer(serializers.Serializer[Any]):
    """One field of the input and what is wrong with it."""

    field = serializers.CharField()
    message = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """Every refusal. ``errors`` is there only where fields of the input are wrong."""

    message = serializers.CharField()
    timestamp = serializers.DateTimeField()
    status = serializers.IntegerField()
    path = serializers.CharField()
    correlationId = serializers.CharField(allow_null=True)  # noqa: N815 (the name on the wire)
    code = serializers.CharField(help_text="Stable; for programs.")
    errors = FieldProblemSerializer(many=True, required=False)  # type: ignore[assignment]  # DRF has one, too


_MEANINGS = {
    400: ("The input is wrong.", "invalid_request", "limit must be a number from 1 to 200"),
    401: ("There is no good credential.", "invalid_token", "A valid credential is needed."),
    403: ("The credential is good; this is not its to do.", "forbidden", "This is not yours to do."),
    404: ("It is not there, or not yours.", "not_found", "not found"),
    405: ("The address does not take this method.", "method_not_allowed", "This address does not take this method."),
    409: ("It conflicts with what is there.", "conflict", "This exists already."),
    415: ("The body is not JSON.", "unsupported_media_type", "The body must be application/json."),
    429: ("Too many attempts; Retry-After says when.", "too_many_requests", "Too many attempts. Try again later."),
    503: ("A store did not answer.", "store_unavailable", "A store did not answer; nothing was changed."),
}


def problems(*statuses: int) -> dict[int, OpenApiResponse]:
    """Entries of ``responses=`` for these statuses, each with an example: ``{200: Thing} | problems(400, 401)``."""
    return {status: _problem(status, *_MEANINGS[status]) for status in statuses}


def _problem(status: int, description: str, code: str, message: str) -> OpenApiResponse:
    example = {
        "message": message,
        "timestamp": "2026-01-31T12:00:00.000000Z",
        "status": status,
        "path": "/api/v1/example",
        "correlationId": "req_018f2b6c7d5e7a4b9c3d2e1f0a9b8c7d",
        "code": code,
    }
    return OpenApiResponse(ProblemSerializer, description, [OpenApiExample(code, example, response_only=True)])


PAGE_PARAMETERS = [
    OpenApiParameter("cursor", OpenApiTypes.STR, description="The value of next in an earlier answer."),
    OpenApiParameter(
        "limit", {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT_LIMIT},
        description="Most items of the answer.",
    ),
]  # fmt: skip
"""Query parameters of every list."""


def listing(item: type[serializers.BaseSerializer[Any]]) -> serializers.Serializer[Any]:
    """The answer of a list of ``item``: ``{"items": [...], "next": cursor or null}``."""
    name = item.__name__.removesuffix("Serializer")
    return inline_serializer(
        f"{name}List",
        {
            "items": item(many=True),
            "next": serializers.CharField(allow_null=True, help_text="Cursor of the next page."),
        },
    )
