"""``/api/v1/tokens/quota/org``: raising an organisation's pool; and all its pools, with what members used of them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.http.caller import ADMIN, ORG_MANAGE, TOKENS_READ
from apps.core.http.errors import bad_request
from apps.core.http.permissions import Permission, needs
from apps.core.http.schema import PAGE_PARAMETERS, listing, problems
from apps.core.http.serializers import Lenient, Strict
from apps.core.http.views import ApiView, caller_of
from apps.core.units import MAX_TOKENS
from apps.orgs.api import standing_for
from apps.quotas.payers import Payer
from apps.quotas.pools import Outcome, Raise, raise_pool, use_of
from apps.quotas.quota_selectors import quotas_of
from apps.quotas.rest.names import page_of
from apps.quotas.rest.quota import OrganisationQuota, one
from apps.quotas.rest.quota_fields import ORGANISATION, OrganisationQuotaSerializer, shown
from apps.quotas.rest.whose import id_in, organisation, organisation_asked

RAISING = needs(ORG_MANAGE, role=ADMIN)
MANAGING = frozenset({"admin", "owner"})
"""Roles of an organisation that see what all its members do."""

LONGEST_KEY = 100


class NewPoolTotal(Lenient):
    """What a pool shall have had in all. The original's contract ignores unknown fields."""

    orgId = serializers.CharField(help_text="The organisation.")
    provider = serializers.CharField(max_length=64, help_text="As in openai.")
    totalTokens = serializers.IntegerField(min_value=1, max_value=MAX_TOKENS)
    reason = serializers.CharField(required=False, max_length=500, default="order by the API")


class WaitingSerializer(serializers.Serializer[Any]):
    """What was ordered is more than one person may grant: somebody else approves it in the console."""

    orgId = serializers.UUIDField()
    provider = serializers.CharField()
    status = serializers.ChoiceField([Outcome.PENDING.value])


class UseSerializer(serializers.Serializer[Any]):
    """What one member's calls came to since ``usedSince``, in tokens."""

    userId = serializers.UUIDField(source="user_id")
    calls = serializers.IntegerField()
    chargedTokens = serializers.IntegerField(source="charged")
    heldTokens = serializers.IntegerField(source="held")


class PoolSerializer(OrganisationQuotaSerializer):
    """A quota of the organisation's, and what members used of it: all of them for those who run it, else the caller."""

    usedSince = serializers.DateTimeField()
    members = UseSerializer(many=True)


class PoolsQuery(Strict):
    """The query parameters."""

    orgId = serializers.CharField()
    since = serializers.DateTimeField(required=False)
    cursor = serializers.CharField(required=False)
    limit = serializers.CharField(required=False)


_NEW = {"orgId": ORGANISATION["orgId"], "provider": "openai", "totalTokens": 1_000_000, "reason": "contract 2026-17"}
_WAITS = {"orgId": ORGANISATION["orgId"], "provider": "openai", "status": "pending"}
_MEMBER = {"userId": "018f2b6c-7d5e-7a4b-9c3d-2e1f0a9b8c7d", "calls": 3, "chargedTokens": 42, "heldTokens": 0}
_POOL = {**ORGANISATION, "usedSince": "2026-01-31T00:00:00Z", "members": [_MEMBER]}


class OrganisationPool(OrganisationQuota):
    """``/api/v1/tokens/quota/org``: read by members, raised by the product's administrators."""

    permissions: ClassVar[Mapping[str, Permission]] = {**OrganisationQuota.permissions, "POST": RAISING}

    @extend_schema(
        operation_id="raiseOrganisationPool",
        summary="Give an organisation a pool, or raise the one that it has",
        description=(
            "For the role ADMIN. totalTokens is what the pool shall have had in all, allowances not counted; what it "
            "lacks is granted, above the operators' limit once a second person approved. With an Idempotency-Key an "
            "order is carried out once."
        ),
        tags=["tokens"],
        parameters=[
            OpenApiParameter("Idempotency-Key", OpenApiTypes.STR, OpenApiParameter.HEADER, description="At most 100."),
        ],
        request=NewPoolTotal,
        responses={200: OrganisationQuotaSerializer, 201: OrganisationQuotaSerializer, 202: WaitingSerializer}
        | problems(400, 401, 403, 404, 409),
        examples=[
            OpenApiExample("the pool", ORGANISATION, response_only=True, status_codes=["200", "201"]),
            OpenApiExample("waits for a second person", _WAITS, response_only=True, status_codes=["202"]),
            OpenApiExample("a million", _NEW, request_only=True),
        ],
    )
    def post(self, request: Request) -> Response:
        """201 when tokens were granted, 200 when the pool had them already, 202 when a second person has to approve.

        Raises:
            ApiError: 400, the order cannot be understood; 404, there is no such organisation.
            PoolNotLowered: the pool has had more.
            KeyReused: the key came with another order.
            PoolNotRaised: the ledger refused.
        """
        key = _key(request)
        query = NewPoolTotal(data=request.data)
        query.is_valid(raise_exception=True)
        wanted, caller = query.validated_data, caller_of(request)
        payer = organisation(caller, id_in(wanted["orgId"].strip(), "orgId"))
        wish = Raise(payer.id, wanted["provider"], wanted["totalTokens"], wanted["reason"])
        outcome = raise_pool(caller, wish, key)
        if outcome is Outcome.PENDING:
            return Response({"orgId": payer.id, "provider": wish.provider, "status": outcome}, status=202)
        return Response(one(payer, wish.provider), status=201 if outcome is Outcome.GRANTED else 200)


def _key(request: Request) -> str | None:
    """The Idempotency-Key, trimmed; None for none."""
    text = request.headers.get("Idempotency-Key", "").strip()
    if len(text) > LONGEST_KEY:
        raise bad_request("idempotency key too long")
    return text or None


class Pools(ApiView):
    """``GET /api/v1/tokens/quota/org/pools``."""

    permissions: ClassVar[Mapping[str, Permission]] = {"GET": needs(TOKENS_READ)}

    @extend_schema(
        operation_id="listOrganisationPools",
        summary="An organisation's quotas, and what its members used of them",
        description="Admins and owners see every member's use, others their own.",
        tags=["tokens"],
        parameters=[
            OpenApiParameter("orgId", OpenApiTypes.UUID, required=True, description="The organisation."),
            OpenApiParameter("since", OpenApiTypes.DATETIME, description="Use from then on. Without it: today (UTC)."),
            *PAGE_PARAMETERS,
        ],
        responses={200: listing(PoolSerializer)} | problems(400, 401, 403, 404),
        examples=[
            OpenApiExample("one page", {"items": [_POOL], "next": None}, response_only=True, status_codes=["200"])
        ],
    )
    def get(self, request: Request) -> Response:
        """A page.

        Raises:
            ApiError: 400, a parameter is wrong; 404, the organisation is none of the caller's.
        """
        payer = organisation_asked(request)
        query = PoolsQuery(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        since = query.validated_data.get("since") or _midnight()
        quotas = quotas_of(payer)
        used = use_of([quota.account for quota in quotas], since, _only(request, payer))
        return page_of(
            request,
            [
                {
                    **shown(payer, quota),
                    "usedSince": since,
                    "members": UseSerializer(used[quota.account], many=True).data,
                }
                for quota in quotas
            ],
        )


def _midnight() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _only(request: Request, payer: Payer) -> UUID | None:
    """Whose use the caller may see: None for everybody's."""
    standing = standing_for(caller_of(request), payer.id)
    return None if standing.role in MANAGING else standing.user_id
