"""``/api/v1/orgs/{orgId}/members``: who belongs to an organisation, and leaving it."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.http.caller import ORG_MANAGE
from apps.core.http.permissions import needs
from apps.core.http.schema import PAGE_PARAMETERS, listing, problems
from apps.core.http.serializers import Strict
from apps.core.http.views import ApiView, identifier
from apps.orgs import memberships
from apps.orgs.models import Membership
from apps.orgs.rest.tenant import checked, listed, standing_at
from apps.orgs.selectors import members_of


class MemberSerializer(serializers.Serializer[Any]):
    """A member as other members see them."""

    userId = serializers.UUIDField(source="pk")
    username = serializers.CharField()
    email = serializers.EmailField()
    kind = serializers.ChoiceField(["person", "service"])
    role = serializers.ChoiceField(Membership.Role.choices)


class RoleChange(Strict):
    """A member's new role."""

    role = serializers.ChoiceField(Membership.Role.choices)


_EXAMPLE = {
    "userId": "5f0c6e8a-3b1d-4c2e-9a7f-1e2d3c4b5a69",
    "username": "ada",
    "email": "ada@example.com",
    "kind": "person",
    "role": "admin",
}
_ONE = [OpenApiExample("member", _EXAMPLE, response_only=True)]
_LIST = [OpenApiExample("one page", {"items": [_EXAMPLE], "next": None}, response_only=True)]


class Members(ApiView):
    """All of an organisation's."""

    permissions = {"GET": needs(ORG_MANAGE)}

    @extend_schema(
        operation_id="listMembers",
        summary="List the members of an organisation",
        tags=["organisations"],
        parameters=PAGE_PARAMETERS,
        responses={200: listing(MemberSerializer)} | problems(400, 401, 403, 404),
        examples=_LIST,
    )
    def get(self, request: Request, org_id: str) -> Response:
        """For every member, in an order that stays."""
        return listed(request, members_of(standing_at(request, org_id)), MemberSerializer)


class OneMember(ApiView):
    """One of an organisation's."""

    permissions = {"PATCH": needs(ORG_MANAGE), "DELETE": needs(ORG_MANAGE)}

    @extend_schema(
        operation_id="changeMemberRole",
        summary="Change a member's role",
        tags=["organisations"],
        request=RoleChange,
        responses={200: MemberSerializer} | problems(400, 401, 403, 404, 409),
        examples=[*_ONE, OpenApiExample("new role", {"role": "admin"}, request_only=True)],
    )
    def patch(self, request: Request, org_id: str, user_id: str) -> Response:
        """For owners. The last owner stays one: 409 ``last_owner``."""
        by, member = standing_at(request, org_id), identifier(user_id)
        memberships.change_role(by, member, **checked(RoleChange(data=request.data)))
        return Response(MemberSerializer(members_of(by).get(pk=member)).data)

    @extend_schema(
        operation_id="removeMember",
        summary="Remove a member and revoke their keys that the organisation pays for",
        tags=["organisations"],
        responses={204: None} | problems(401, 403, 404, 409),
    )
    def delete(self, request: Request, org_id: str, user_id: str) -> Response:
        """For owners; admins remove plain members."""
        memberships.remove(standing_at(request, org_id), identifier(user_id))
        return Response(status=204)


class Leaving(ApiView):
    """One's own way out."""

    permissions = {"POST": needs(ORG_MANAGE)}

    @extend_schema(
        operation_id="leaveOrganisation",
        summary="Leave an organisation; your keys that it pays for are revoked",
        tags=["organisations"],
        request=None,
        responses={204: None} | problems(401, 403, 404, 409),
    )
    def post(self, request: Request, org_id: str) -> Response:
        """For every member but the last owner: 409 ``last_owner``."""
        by = standing_at(request, org_id)
        memberships.leave(by.org_id, by.user_id)
        return Response(status=204)
