"""Whether an API key is good, for who has been handed one. All other routes of keys need to know organisations: see
``apps/orgs/rest/api_keys.py``.
"""

from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.domain import ExpiredKey
from apps.accounts.selectors import roles_of, validate_key
from apps.core import tenancy
from apps.core.errors import InvalidCredential
from apps.core.http.errors import ApiError
from apps.core.http.permissions import ANYONE
from apps.core.http.schema import problems
from apps.core.http.views import ApiView

HEADER = "X-Api-Key"


class ValidApiKeySerializer(serializers.Serializer[Any]):
    """Whose key it is."""

    userId = serializers.UUIDField()
    name = serializers.CharField(allow_null=True)
    expiresAt = serializers.DateTimeField(allow_null=True)
    roles = serializers.ListField(child=serializers.CharField(), help_text="Sorted.")


class ValidateApiKeyView(ApiView):
    """``GET /api/v1/auth/api-keys/validate``."""

    permissions: ClassVar = {"GET": ANYONE}

    @extend_schema(
        operation_id="validateApiKey",
        summary="Whose API key this is, if it is good",
        tags=["API keys"],
        auth=[],
        parameters=[OpenApiParameter(HEADER, OpenApiTypes.STR, OpenApiParameter.HEADER, required=True)],
        responses={200: ValidApiKeySerializer} | problems(401),
        examples=[
            OpenApiExample(
                "a good key",
                {
                    "userId": "0f8fad5b-d9cb-469f-a165-70867728950e",
                    "name": "laptop",
                    "expiresAt": None,
                    "roles": ["USER"],
                },
                response_only=True,
            )
        ],
    )
    def get(self, request: Request) -> Response:
        """The key's owner, name, expiry and the owner's roles."""
        presented = request.headers.get(HEADER, "").strip()
        if not presented:
            raise _refused("api key is required")
        try:
            with tenancy.everyone():  # Who the key's owner is, is what is to be found out.
                key = validate_key(presented)
                roles = roles_of(key.owner_id)
        except ExpiredKey:
            raise _refused("api key expired") from None
        except InvalidCredential:
            raise _refused("invalid api key") from None
        found = {"userId": key.owner_id, "name": key.name or None, "expiresAt": key.expires_at, "roles": roles}
        return Response(ValidApiKeySerializer(found).data, headers={"Cache-Control": "no-store"})


def _refused(message: str) -> ApiError:
    return ApiError(401, "invalid_api_key", message, headers={"WWW-Authenticate": "Bearer"})
