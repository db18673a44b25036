"""``GET /api/v1/requests/{requestId}/explanation``: why a call was refused, or what became of it."""

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.errors import NotFound
from apps.core.http.caller import TOKENS_READ
from apps.core.http.permissions import Permission, needs
from apps.core.http.schema import problems
from apps.core.http.views import ApiView, caller_of
from apps.quotas.explain import ADMITTED, REFUSED, explain_to

LONGEST_ID = 64


class LimitSerializer(serializers.Serializer[Any]):
    """The limit that refused a call; null: it has no such amount, or waiting alone does not help."""

    name = serializers.CharField()
    value = serializers.IntegerField(allow_null=True)
    used = serializers.IntegerField(allow_null=True)
    held = serializers.IntegerField(allow_null=True)
    needed = serializers.IntegerField(allow_null=True)
    passesInMs = serializers.IntegerField(source="passes_in_ms", allow_null=True)
    passesAt = serializers.DateTimeField(source="passes_at", allow_null=True)


class ExplainedSerializer(serializers.Serializer[Any]):
    """One call. ``sentences`` tell its whole story; ``code`` is the refusal's, or the outcome."""

    decision = serializers.ChoiceField([ADMITTED, REFUSED])
    at = serializers.DateTimeField()
    payerKind = serializers.ChoiceField(["user", "org"], source="payer.kind")
    payerId = serializers.UUIDField(source="payer.id")
    httpStatus = serializers.IntegerField(source="status", allow_null=True)
    code = serializers.CharField(allow_null=True)
    limit = LimitSerializer(allow_null=True)
    reservationId = serializers.UUIDField(source="reservation_id", allow_null=True)
    sentences = serializers.ListField(child=serializers.CharField())


class ExplanationSerializer(serializers.Serializer[Any]):
    """Every call of the request id, oldest first: a client may use an id more than once."""

    requestId = serializers.CharField()
    calls = ExplainedSerializer(many=True)


EXAMPLE = {
    "requestId": "req_018f2b6c7d5e7a4b9c3d2e1f0a9b8c7d",
    "calls": [
        {
            "decision": "refused",
            "at": "2026-01-31T12:00:00.000000Z",
            "payerKind": "user",
            "payerId": "018f2b6c-7d5e-7a4b-9c3d-2e1f0a9b8c7d",
            "httpStatus": 429,
            "code": "rate_limit_exceeded",
            "limit": {
                "name": "bucket", "value": 1000, "used": 950, "held": None, "needed": 100, "passesInMs": 5000,
                "passesAt": "2026-01-31T12:00:05.000000Z",
            },
            "reservationId": None,
            "sentences": [
                "2026-01-31 12:00:00.000 UTC: a call of gpt-4o-mini at openai was refused with 429.",
                "The limit was bucket: 1,000.",
                "At that moment 950 were used, the call needed 100.",
                "If nobody else had called, it would have passed at 2026-01-31 12:00:05.000 UTC.",
                "Nothing was held or charged for it.",
            ],
        }
    ],
}  # fmt: skip


class ExplanationView(ApiView):
    """One request id."""

    permissions: ClassVar[Mapping[str, Permission]] = {"GET": needs(TOKENS_READ)}

    @extend_schema(
        operation_id="explainRequest",
        summary="Why a call was refused, or what became of it",
        description="The id is the header x-request-id of the call's answer. Refusals are kept for a day.",
        tags=["tokens"],
        responses={200: ExplanationSerializer} | problems(401, 403, 404),
        examples=[OpenApiExample("a refused call", EXAMPLE, response_only=True, status_codes=["200"])],
    )
    def get(self, request: Request, request_id: str) -> Response:
        """For whoever paid or would have paid.

        Raises:
            NotFound: nothing is known of it, or it is none of the caller's.
        """
        if len(request_id) > LONGEST_ID:
            raise NotFound
        calls = explain_to(caller_of(request), request_id)
        return Response(ExplanationSerializer({"requestId": request_id, "calls": calls}).data)
