"""Keys that an organisation pays for: ``/api/v1/orgs/{orgId}/api-keys``, and making them for service accounts."""

from ipaddress import ip_network
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.http.caller import KEY_SCOPES, ORG_MANAGE, SCOPES
from apps.core.http.errors import ApiError
from apps.core.http.permissions import needs
from apps.core.http.schema import PAGE_PARAMETERS, listing, problems
from apps.core.http.serializers import Strict
from apps.core.http.views import ApiView, caller_of
from apps.orgs import service_accounts
from apps.orgs.rest.tenant import checked, identifier, listed, readable, standing_at
from apps.orgs.selectors import keys_of, keys_of_service_account

MOST_TOKENS = 10**15


class OrgKeySerializer(serializers.Serializer[Any]):
    """A key without its secret. Null in ``scopes``, ``allowedModels`` and ``allowedIps``: what is usual, all, all."""

    id = serializers.CharField()
    userId = serializers.UUIDField(source="owner_id")
    orgId = serializers.UUIDField(source="org_id")
    name = serializers.CharField()
    prefix = serializers.CharField(source="display_prefix")
    scopes = serializers.ListField(child=serializers.CharField(), allow_null=True)
    allowedModels = serializers.ListField(source="allowed_models", child=serializers.CharField(), allow_null=True)
    allowedIps = serializers.ListField(source="allowed_networks", child=serializers.CharField(), allow_null=True)
    budget = serializers.IntegerField(allow_null=True)
    createdAt = serializers.DateTimeField(source="created_at")
    expiresAt = serializers.DateTimeField(source="expires_at", allow_null=True)
    lastUsedAt = serializers.DateTimeField(source="last_used_at", allow_null=True)


class CreatedOrgKeySerializer(OrgKeySerializer):
    """A new key with its text, which is never shown again."""

    apiKey = serializers.CharField()


def address_or_network(text: str) -> None:
    """Accept ``203.0.113.7`` and ``203.0.113.0/24``.

    Raises:
        ValidationError: it is neither.
    """
    try:
        ip_network(text)
    except ValueError as error:
        raise serializers.ValidationError("This is no address or network.") from error


class NewOrgKey(Strict):
    """What a new key may do."""

    name = serializers.CharField(max_length=100, validators=[readable])
    scopes = serializers.ListField(child=serializers.ChoiceField(sorted(SCOPES)), min_length=1, required=False)
    allowedModels = serializers.ListField(
        source="allowed_models", child=serializers.CharField(max_length=200), min_length=1, max_length=200,
        required=False,
    )  # fmt: skip
    allowedIps = serializers.ListField(
        source="allowed_networks", child=serializers.CharField(max_length=50, validators=[address_or_network]),
        min_length=1, max_length=200, required=False,
    )  # fmt: skip
    budget = serializers.IntegerField(min_value=1, max_value=MOST_TOKENS, required=False)
    expiresAt = serializers.DateTimeField(source="expires_at", required=False)


_EXAMPLE = {
    "id": "3kT9vQ2mZa",
    "userId": "5f0c6e8a-3b1d-4c2e-9a7f-1e2d3c4b5a69",
    "orgId": "018f2b6c-7d5e-7a4b-9c3d-2e1f0a9b8c7d",
    "name": "nightly report",
    "prefix": "leaky_5f0c6e8a-3b1d-4c2e-9a7f-1e2d3c4b5a69_3kT9vQ2mZa…",
    "scopes": ["inference"],
    "allowedModels": None,
    "allowedIps": ["203.0.113.0/24"],
    "budget": 1_000_000,
    "createdAt": "2026-01-31T12:00:00Z",
    "expiresAt": None,
    "lastUsedAt": None,
}
_PAGE = listing(OrgKeySerializer)
_CREATED = [
    OpenApiExample("new key", _EXAMPLE | {"apiKey": "leaky_5f0c6e8a-…_3kT9vQ2mZa…"}, response_only=True),
    OpenApiExample("request", {"name": "nightly report", "scopes": ["inference"]}, request_only=True),
]
_LIST = [OpenApiExample("one page", {"items": [_EXAMPLE], "next": None}, response_only=True)]


class OrgKeys(ApiView):
    """All keys that an organisation pays for."""

    permissions = {"GET": needs(ORG_MANAGE)}

    @extend_schema(
        operation_id="listOrganisationApiKeys",
        summary="List the API keys that an organisation pays for",
        tags=["organisations"],
        parameters=PAGE_PARAMETERS,
        responses={200: _PAGE} | problems(400, 401, 403, 404),
        examples=_LIST,
    )
    def get(self, request: Request, org_id: str) -> Response:
        """For admins and owners, in an order that stays; revoked keys are left out."""
        return listed(request, keys_of(standing_at(request, org_id)), OrgKeySerializer)


class OneOrgKey(ApiView):
    """One key that an organisation pays for."""

    permissions = {"DELETE": needs(ORG_MANAGE)}

    @extend_schema(
        operation_id="revokeOrganisationApiKey",
        summary="Revoke an API key that an organisation pays for",
        tags=["organisations"],
        responses={204: None} | problems(401, 403, 404),
    )
    def delete(self, request: Request, org_id: str, key_id: str) -> Response:
        """For admins and owners, whoever owns the key."""
        service_accounts.revoke_key(standing_at(request, org_id), key_id)
        return Response(status=204)


class ServiceAccountKeys(ApiView):
    """Keys of one service account."""

    permissions = {"GET": needs(ORG_MANAGE), "POST": needs(ORG_MANAGE)}

    @extend_schema(
        operation_id="listServiceAccountApiKeys",
        summary="List the API keys of a service account",
        tags=["organisations"],
        parameters=PAGE_PARAMETERS,
        responses={200: _PAGE} | problems(400, 401, 403, 404),
        examples=_LIST,
    )
    def get(self, request: Request, org_id: str, user_id: str) -> Response:
        """For admins and owners; revoked keys are left out."""
        rows = keys_of_service_account(standing_at(request, org_id), identifier(user_id))
        return listed(request, rows, OrgKeySerializer)

    @extend_schema(
        operation_id="createServiceAccountApiKey",
        summary="Create an API key for a service account; its text is shown once",
        tags=["organisations"],
        request=NewOrgKey,
        responses={201: CreatedOrgKeySerializer} | problems(400, 401, 403, 404, 409),
        examples=_CREATED,
    )
    def post(self, request: Request, org_id: str, user_id: str) -> Response:
        """For admins and owners. The organisation pays; no scope is given that the caller's credential lacks."""
        by, account_id = standing_at(request, org_id), identifier(user_id)
        attributes = checked(NewOrgKey(data=request.data))
        if missing := frozenset(attributes.get("scopes", KEY_SCOPES)) - caller_of(request).scopes:
            raise ApiError(403, "insufficient_scope", f"The credential lacks what it would give: {min(missing)}.")
        key, text = service_accounts.create_key(by, account_id, attributes.pop("name"), attributes)
        key.refresh_from_db()
        body = OrgKeySerializer(key).data | {"apiKey": text}
        return Response(body, status=201, headers={"Cache-Control": "no-store"})
