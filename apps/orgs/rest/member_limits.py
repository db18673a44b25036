"""``/api/v1/orgs/{orgId}/limits`` and ``…/members/{userId}/limits``: what members may cost their organisation."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.http.caller import ORG_MANAGE
from apps.core.http.permissions import needs
from apps.core.http.schema import PAGE_PARAMETERS, listing, problems
from apps.core.http.serializers import Strict
from apps.core.http.views import ApiView, identifier
from apps.orgs import member_limits
from apps.orgs.domain import EVERY_PROVIDER
from apps.orgs.models import Window
from apps.orgs.rest.tenant import checked, listed, standing_at
from apps.orgs.selectors import limits_in, limits_of

PROVIDER = r"^[-a-zA-Z0-9_]+\Z"
MOST_TOKENS = 10**15


class MemberLimitSerializer(serializers.Serializer[Any]):
    """A limit. ``provider`` null: all providers together."""

    userId = serializers.UUIDField(source="membership.user_id")
    provider = serializers.SerializerMethodField()
    window = serializers.ChoiceField(Window.choices)
    tokens = serializers.IntegerField()

    def get_provider(self, limit: Any) -> str | None:
        """Null rather than an empty name."""
        return limit.provider or None


class NewMemberLimit(Strict):
    """The limit that is to hold. ``provider`` null or left out: all providers together."""

    provider = serializers.RegexField(PROVIDER, max_length=50, allow_null=True, default=None)
    window = serializers.ChoiceField(Window.choices)
    tokens = serializers.IntegerField(min_value=1, max_value=MOST_TOKENS)


class LimitsLifted(Strict):
    """Which limit goes; without a provider, all of them."""

    provider = serializers.RegexField(rf"^\*\Z|{PROVIDER}", max_length=50, required=False)


_EXAMPLE = {
    "userId": "5f0c6e8a-3b1d-4c2e-9a7f-1e2d3c4b5a69",
    "provider": "openai",
    "window": "month",
    "tokens": 1_000_000,
}
_NEW = {"provider": "openai", "window": "month", "tokens": 1_000_000}
_ONE = [OpenApiExample("limit", _EXAMPLE, response_only=True)]
_LIST = [OpenApiExample("one page", {"items": [_EXAMPLE], "next": None}, response_only=True)]
_PAGE = listing(MemberLimitSerializer)
_WHICH = OpenApiParameter("provider", description="Only the limit with this one; * is the limit of all together.")


class OrgLimits(ApiView):
    """All members' limits."""

    permissions = {"GET": needs(ORG_MANAGE)}

    @extend_schema(
        operation_id="listMembersLimits",
        summary="List the limits of an organisation's members",
        tags=["organisations"],
        parameters=PAGE_PARAMETERS,
        responses={200: _PAGE} | problems(400, 401, 403, 404),
        examples=_LIST,
    )
    def get(self, request: Request, org_id: str) -> Response:
        """For admins and owners, newest first."""
        return listed(request, limits_in(standing_at(request, org_id)), MemberLimitSerializer)


class MemberLimits(ApiView):
    """One member's limits."""

    permissions = {"GET": needs(ORG_MANAGE), "PUT": needs(ORG_MANAGE), "DELETE": needs(ORG_MANAGE)}

    @extend_schema(
        operation_id="listMemberLimits",
        summary="List what a member may cost an organisation",
        tags=["organisations"],
        parameters=PAGE_PARAMETERS,
        responses={200: _PAGE} | problems(400, 401, 403, 404),
        examples=_LIST,
    )
    def get(self, request: Request, org_id: str, user_id: str) -> Response:
        """For admins and owners; members read their own."""
        found = limits_of(standing_at(request, org_id), identifier(user_id))
        return listed(request, found, MemberLimitSerializer)

    @extend_schema(
        operation_id="setMemberLimit",
        summary="Limit what a member may cost an organisation in each day, week or month",
        tags=["organisations"],
        request=NewMemberLimit,
        responses={200: MemberLimitSerializer} | problems(400, 401, 403, 404),
        examples=[*_ONE, OpenApiExample("new", _NEW, request_only=True)],
    )
    def put(self, request: Request, org_id: str, user_id: str) -> Response:
        """For owners; admins limit plain members. It takes the place of the limit with the same provider."""
        by, member = standing_at(request, org_id), identifier(user_id)
        limit = member_limits.set_limit(by, member, **checked(NewMemberLimit(data=request.data)))
        return Response(MemberLimitSerializer(limit).data)

    @extend_schema(
        operation_id="liftMemberLimits",
        summary="Lift a member's limit, or all of them",
        tags=["organisations"],
        parameters=[_WHICH],
        responses={204: None} | problems(400, 401, 403, 404),
    )
    def delete(self, request: Request, org_id: str, user_id: str) -> Response:
        """For owners; admins lift those of plain members. What is lifted already stays so."""
        by, member = standing_at(request, org_id), identifier(user_id)
        provider = checked(LimitsLifted(data=request.query_params.dict())).get("provider")
        member_limits.lift(by, member, "" if provider == EVERY_PROVIDER else provider)
        return Response(status=204)
