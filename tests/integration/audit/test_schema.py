"""What the OpenAPI document says of the trail's route: parameters, credentials, refusals, an example."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from django.urls import path
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.http.permissions import ANYONE, FIRST_PARTY, SIGNED_IN, Permission
from apps.core.http.schema import problems
from apps.core.http.views import ApiView
from apps.orgs.rest.audit import AuditView


def _document(view: type[ApiView]) -> dict[str, Any]:
    generator: Any = SchemaGenerator(patterns=[path("route", view.as_view())])  # type: ignore[no-untyped-call]
    document: dict[str, Any] = generator.get_schema(request=None, public=True)
    return document


def test_the_route_is_documented() -> None:
    operation = _document(AuditView)["paths"]["/route"]["get"]
    assert operation["operationId"] == "listAuditEntries"
    assert {parameter["name"] for parameter in operation["parameters"]} == {
        "orgId", "action", "actor", "subject", "from", "to", "cursor", "limit",
    }  # fmt: skip
    assert set(operation["responses"]) == {"200", "400", "401", "403", "404"}
    assert operation["responses"]["200"]["content"]["application/json"]["examples"]


@pytest.mark.parametrize(
    ("permission", "security"),
    [
        (SIGNED_IN, [{"bearerAuth": []}, {"apiKeyAuth": []}]),
        (FIRST_PARTY, [{"bearerAuth": []}]),
        (ANYONE, [{}]),
    ],
)
def test_credentials_follow_the_declared_permission(permission: Permission, security: list[Any]) -> None:
    class View(ApiView):
        permissions: ClassVar[Mapping[str, Permission]] = {"GET": permission}

        @extend_schema(responses=problems(404))
        def get(self, request: Request) -> Response:
            return Response(request.method)

    document = _document(View)
    assert document["paths"]["/route"]["get"]["security"] == security
    assert set(document["components"]["securitySchemes"]) == {"bearerAuth", "apiKeyAuth"}
