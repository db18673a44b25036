"""``/api/v1/orgs/{orgId}/service-accounts``: an organisation's programs."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import validate_label
from apps.core.http.caller import ORG_MANAGE
from apps.core.http.permissions import needs
from apps.core.http.schema import PAGE_PARAMETERS, listing, problems
from apps.core.http.serializers import Strict
from apps.core.http.views import ApiView, identifier
from apps.orgs import service_accounts
from apps.orgs.rest.tenant import checked, listed, standing_at
from apps.orgs.selectors import service_accounts_of


class ServiceAccountSerializer(serializers.Serializer[Any]):
    """An account that owns keys, and that nobody signs in as."""

    userId = serializers.UUIDField(source="pk")
    username = serializers.CharField()
    name = serializers.CharField(source="first_name")
    enabled = serializers.BooleanField(source="is_active")


class NewServiceAccount(Strict):
    """What it is for."""

    name = serializers.CharField(max_length=100, validators=[validate_label])


_EXAMPLE = {
    "userId": "5f0c6e8a-3b1d-4c2e-9a7f-1e2d3c4b5a69",
    "username": "svc-engines-1",
    "name": "nightly report",
    "enabled": True,
}
_ONE = [OpenApiExample("service account", _EXAMPLE, response_only=True)]
_LIST = [OpenApiExample("one page", {"items": [_EXAMPLE], "next": None}, response_only=True)]


class ServiceAccounts(ApiView):
    """All of an organisation's."""

    permissions = {"GET": needs(ORG_MANAGE), "POST": needs(ORG_MANAGE)}

    @extend_schema(
        operation_id="listServiceAccounts",
        summary="List the service accounts of an organisation",
        tags=["organisations"],
        parameters=PAGE_PARAMETERS,
        responses={200: listing(ServiceAccountSerializer)} | problems(400, 401, 403, 404),
        examples=_LIST,
    )
    def get(self, request: Request, org_id: str) -> Response:
        """For admins and owners; disabled ones too."""
        return listed(request, service_accounts_of(standing_at(request, org_id)), ServiceAccountSerializer)

    @extend_schema(
        operation_id="createServiceAccount",
        summary="Create a service account in an organisation",
        tags=["organisations"],
        request=NewServiceAccount,
        responses={201: ServiceAccountSerializer} | problems(400, 401, 403, 404),
        examples=[*_ONE, OpenApiExample("new", {"name": "nightly report"}, request_only=True)],
    )
    def post(self, request: Request, org_id: str) -> Response:
        """For admins and owners."""
        by = standing_at(request, org_id)
        account = service_accounts.create(by, **checked(NewServiceAccount(data=request.data)))
        return Response(ServiceAccountSerializer(account).data, status=201)


class OneServiceAccount(ApiView):
    """One of an organisation's."""

    permissions = {"DELETE": needs(ORG_MANAGE)}

    @extend_schema(
        operation_id="disableServiceAccount",
        summary="Disable a service account and revoke its keys",
        tags=["organisations"],
        responses={204: None} | problems(401, 403, 404),
    )
    def delete(self, request: Request, org_id: str, user_id: str) -> Response:
        """For admins and owners. It stays listed, and cannot be enabled again."""
        service_accounts.disable(standing_at(request, org_id), identifier(user_id))
        return Response(status=204)
