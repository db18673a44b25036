"""What requests about API keys carry, and what is answered."""

from typing import Any

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from apps.accounts.api import ApiKey, validate_label, validate_networks, validate_scopes
from apps.core.http.serializers import Lenient, Strict
from apps.core.units import MAX_TOKENS

MOST_MODELS, MOST_NETWORKS = 1000, 100
LONGEST_GRACE_SECONDS, USUAL_GRACE_SECONDS = 7 * 86_400, 86_400

SHOWN = {
    "id": "3fT9aZ0kQe", "userId": "0f8fad5b-d9cb-469f-a165-70867728950e", "name": "laptop",
    "createdAt": "2026-01-31T12:00:00.000000Z", "expiresAt": None, "lastUsedAt": None,
    "prefix": "leaky_0f8fad5b-d9cb-469f-a165-70867728950e_3fT9aZ0kQe…", "orgId": None, "scopes": ["inference"],
    "allowedModels": ["gpt-4o-mini"], "allowedIps": None, "budget": 1_000_000, "replacedBy": None,
}  # fmt: skip
"""A key, as an example in the documentation of the routes."""

_TEXT = "leaky_0f8fad5b-d9cb-469f-a165-70867728950e_3fT9aZ0kQe" + "0" * 38
EXAMPLE = OpenApiExample("a key", SHOWN, response_only=True)
EXAMPLE_ISSUED = OpenApiExample("a new key", {**SHOWN, "apiKey": _TEXT, "rawKey": _TEXT}, response_only=True)


class _Limits(serializers.Serializer[Any]):
    """What can be said of a key when it is made, and later. Null: no such limit."""

    name = serializers.CharField(
        max_length=100, allow_blank=True, allow_null=True, required=False, validators=[validate_label]
    )
    expiresAt = serializers.DateTimeField(source="expires_at", allow_null=True, required=False)
    scopes = serializers.ListField(
        child=serializers.CharField(), allow_null=True, allow_empty=False, required=False, validators=[validate_scopes],
        help_text="What it may do; null: all but managing keys and organisations.",
    )  # fmt: skip
    allowedModels = serializers.ListField(
        child=serializers.CharField(max_length=256), source="allowed_models", allow_null=True, allow_empty=False,
        max_length=MOST_MODELS, required=False, help_text="Models it may call; null: all.",
    )  # fmt: skip
    allowedIps = serializers.ListField(
        child=serializers.CharField(), source="allowed_networks", allow_null=True, allow_empty=False,
        max_length=MOST_NETWORKS, required=False, validators=[validate_networks],
        help_text="Addresses and networks it may call from; null: all.",
    )  # fmt: skip
    budget = serializers.IntegerField(
        min_value=1, max_value=MAX_TOKENS, allow_null=True, required=False,
        help_text="Tokens that it may spend in all, from when it has a budget; null: no budget of its own.",
    )  # fmt: skip

    def validate_name(self, value: str | None) -> str:
        """No name is the empty one."""
        return value or ""


class CreateApiKeySerializer(_Limits, Lenient):
    """A key to be made."""

    model = ApiKey
    userId = serializers.UUIDField(source="owner_id")
    orgId = serializers.UUIDField(
        source="org_id", allow_null=True, required=False, help_text="Organisation that pays; null: the owner pays."
    )


class CreateServiceKeySerializer(_Limits, Strict):
    """A key of a service account's to be made; the path names both owner and payer."""


class ChangeApiKeySerializer(_Limits, Strict):
    """Changes of a key; what is not named stays."""


class RotateApiKeySerializer(Strict):
    """How long the old key goes on working."""

    graceSeconds = serializers.IntegerField(min_value=0, max_value=LONGEST_GRACE_SECONDS, default=USUAL_GRACE_SECONDS)


class ApiKeySerializer(serializers.Serializer[Any]):
    """A key as it can be shown at any time."""

    id = serializers.CharField(help_text="Part of the key's text, and no secret.")
    userId = serializers.UUIDField(source="owner_id")
    name = serializers.SerializerMethodField()
    createdAt = serializers.DateTimeField(source="created_at")
    expiresAt = serializers.DateTimeField(source="expires_at", allow_null=True)
    lastUsedAt = serializers.DateTimeField(source="last_used_at", allow_null=True)
    prefix = serializers.CharField(source="display_prefix", help_text="Enough of the key to recognise it.")
    orgId = serializers.UUIDField(source="org_id", allow_null=True)
    scopes = serializers.SerializerMethodField()
    allowedModels = serializers.ListField(child=serializers.CharField(), source="allowed_models", allow_null=True)
    allowedIps = serializers.ListField(child=serializers.CharField(), source="allowed_networks", allow_null=True)
    budget = serializers.IntegerField(allow_null=True)
    replacedBy = serializers.CharField(source="replaced_by_id", allow_null=True, help_text="Id of its successor.")

    def get_name(self, key: ApiKey) -> str | None:
        """Null when it has none."""
        return key.name or None

    def get_scopes(self, key: ApiKey) -> list[str]:
        """What it may do, sorted."""
        return sorted(key.effective_scopes)


class IssuedApiKeySerializer(ApiKeySerializer):
    """A new key with its text, which is shown here and never again."""

    apiKey = serializers.CharField()
    rawKey = serializers.CharField(help_text="Deprecated: the same as apiKey.")


def issued(key: ApiKey, text: str) -> Response:
    """A new key with its text, which nothing on the way may keep."""
    body = {**ApiKeySerializer(key).data, "apiKey": text, "rawKey": text}
    return Response(body, status=201, headers={"Cache-Control": "no-store"})
