"""``GET /api/v1/rate-limits/{userId}``: a user's limits with each provider, and how much of them is in use."""

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.errors import NotFound
from apps.core.http.caller import TOKENS_READ
from apps.core.http.permissions import Permission, needs
from apps.core.http.schema import PAGE_PARAMETERS, listing, problems
from apps.core.http.views import ApiView, caller_of, identifier
from apps.quotas import payers
from apps.quotas.limits import limits_of
from apps.quotas.rest.names import page_of


class RateSerializer(serializers.Serializer[Any]):
    """A limit that leaks: what fits, what is in it, and when it is empty if nobody calls."""

    limit = serializers.IntegerField()
    used = serializers.IntegerField()
    remaining = serializers.IntegerField()
    emptyInMs = serializers.IntegerField(source="empty_in_ms", allow_null=True)


class RateLimitSerializer(serializers.Serializer[Any]):
    """A user's limits with one provider; null: there is no such limit. ``bucket`` counts tokens."""

    provider = serializers.CharField()
    tier = serializers.CharField()
    strategy = serializers.CharField(source="policy.strategy")
    mode = serializers.CharField(source="policy.mode")
    leakMilliTokensPerSecond = serializers.IntegerField(source="policy.bucket.leak")
    bucket = RateSerializer()
    requestsPerMinute = RateSerializer(source="requests", allow_null=True)
    concurrency = RateSerializer(allow_null=True)


EXAMPLE = {
    "provider": "openai",
    "tier": "USER",
    "strategy": "LEAKY_BUCKET",
    "mode": "police",
    "leakMilliTokensPerSecond": 1_000_000,
    "bucket": {"limit": 100_000, "used": 120, "remaining": 99_880, "emptyInMs": 120},
    "requestsPerMinute": {"limit": 60, "used": 1, "remaining": 59, "emptyInMs": 1000},
    "concurrency": None,
}


class RateLimits(ApiView):
    """One user's."""

    permissions: ClassVar[Mapping[str, Permission]] = {"GET": needs(TOKENS_READ)}

    @extend_schema(
        operation_id="getRateLimits",
        summary="A user's limits with each provider, and how much of them is in use now",
        description="Your own; an ADMIN's: anybody's.",
        tags=["tokens"],
        parameters=PAGE_PARAMETERS,
        responses={200: listing(RateLimitSerializer)} | problems(400, 401, 403, 404, 503),
        examples=[
            OpenApiExample("one page", {"items": [EXAMPLE], "next": None}, response_only=True, status_codes=["200"])
        ],
    )
    def get(self, request: Request, user_id: str) -> Response:
        """A page.

        Raises:
            NotFound: the user is not the caller.
            StoreUnavailable: the quota store did not answer.
        """
        try:
            payer = payers.user(caller_of(request), identifier(user_id))
        except payers.NotYours:
            raise NotFound from None
        return page_of(request, [RateLimitSerializer(limits).data for limits in limits_of(payer)])
