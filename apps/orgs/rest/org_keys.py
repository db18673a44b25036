"""Keys that an organisation pays for: ``/api/v1/orgs/{orgId}/api-keys``, and making them for service accounts."""

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TooManyKeys
from apps.core.http.caller import ORG_MANAGE
from apps.core.http.errors import bad_request
from apps.core.http.permissions import needs
from apps.core.http.schema import PAGE_PARAMETERS, listing, problems
from apps.core.http.views import ApiView, caller_of, identifier
from apps.orgs import service_accounts
from apps.orgs.rest.api_key_fields import (
    EXAMPLE_ISSUED,
    SHOWN,
    ApiKeySerializer,
    CreateServiceKeySerializer,
    IssuedApiKeySerializer,
    issued,
)
from apps.orgs.rest.api_key_rules import insist_on_unlimited, scopes_of_new
from apps.orgs.rest.tenant import checked, listed, standing_at
from apps.orgs.selectors import keys_of, keys_of_service_account

_BOUND = {**SHOWN, "orgId": "018f2b6c-7d5e-7a4b-9c3d-2e1f0a9b8c7d"}
_PAGE = listing(ApiKeySerializer)
_LIST = [OpenApiExample("one page", {"items": [_BOUND], "next": None}, response_only=True)]
_ASKED = OpenApiExample("request", {"name": "nightly report", "scopes": ["inference"]}, request_only=True)


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
        return listed(request, keys_of(standing_at(request, org_id)), ApiKeySerializer)


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
        return listed(request, rows, ApiKeySerializer)

    @extend_schema(
        operation_id="createServiceAccountApiKey",
        summary="Create an API key for a service account; its text is shown once",
        tags=["organisations"],
        request=CreateServiceKeySerializer,
        responses={201: IssuedApiKeySerializer} | problems(400, 401, 403, 404),
        examples=[EXAMPLE_ISSUED, _ASKED],
    )
    def post(self, request: Request, org_id: str, user_id: str) -> Response:
        """For admins and owners. The organisation pays; no scope is given that the caller's credential lacks."""
        caller, by, account_id = caller_of(request), standing_at(request, org_id), identifier(user_id)
        insist_on_unlimited(caller)
        fields = checked(CreateServiceKeySerializer(data=request.data))
        fields["scopes"] = scopes_of_new(caller, fields.get("scopes"))
        try:
            key, text = service_accounts.create_key(by, account_id, fields.pop("name", ""), fields)
        except TooManyKeys as error:
            raise bad_request(str(error), error.code) from None
        return issued(key, text)
