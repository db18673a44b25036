"""``/api/v1/orgs/{orgId}/invitations`` and ``/api/v1/invitations/accept``: becoming a member by e-mail."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.http.caller import ORG_MANAGE
from apps.core.http.permissions import needs
from apps.core.http.schema import PAGE_PARAMETERS, listing, problems
from apps.core.http.serializers import Strict
from apps.core.http.views import ApiView, caller_of, identifier
from apps.orgs import invitations, memberships
from apps.orgs.models import Membership
from apps.orgs.rest.organisations import EXAMPLE as ORGANISATION
from apps.orgs.rest.organisations import OrganisationSerializer
from apps.orgs.rest.tenant import checked, listed, standing_at
from apps.orgs.selectors import founder_for, invitations_of, organisation_for


class InvitationSerializer(serializers.Serializer[Any]):
    """An open offer of membership; its secret is in the mail alone."""

    id = serializers.UUIDField()
    email = serializers.EmailField()
    role = serializers.ChoiceField(Membership.Role.choices)
    invitedBy = serializers.UUIDField(source="invited_by_id")
    createdAt = serializers.DateTimeField(source="created_at")
    expiresAt = serializers.DateTimeField(source="expires_at")


class NewInvitation(Strict):
    """Who is invited, and as what."""

    email = serializers.EmailField(max_length=254)
    role = serializers.ChoiceField(Membership.Role.choices, default=Membership.Role.MEMBER)


class Acceptance(Strict):
    """The secret of the mail's link."""

    token = serializers.CharField(max_length=200)


_EXAMPLE = {
    "id": "018f2b6c-7d5e-7a4b-9c3d-2e1f0a9b8c7d",
    "email": "grace@example.com",
    "role": "member",
    "invitedBy": "5f0c6e8a-3b1d-4c2e-9a7f-1e2d3c4b5a69",
    "createdAt": "2026-01-31T12:00:00Z",
    "expiresAt": "2026-02-07T12:00:00Z",
}
_ONE = [OpenApiExample("invitation", _EXAMPLE, response_only=True)]
_LIST = [OpenApiExample("one page", {"items": [_EXAMPLE], "next": None}, response_only=True)]


class Invitations(ApiView):
    """An organisation's open offers."""

    permissions = {"GET": needs(ORG_MANAGE), "POST": needs(ORG_MANAGE)}

    @extend_schema(
        operation_id="listInvitations",
        summary="List the open invitations of an organisation",
        tags=["organisations"],
        parameters=PAGE_PARAMETERS,
        responses={200: listing(InvitationSerializer)} | problems(400, 401, 403, 404),
        examples=_LIST,
    )
    def get(self, request: Request, org_id: str) -> Response:
        """For admins and owners, newest first."""
        return listed(request, invitations_of(standing_at(request, org_id)), InvitationSerializer)

    @extend_schema(
        operation_id="invite",
        summary="Invite somebody by e-mail",
        tags=["organisations"],
        request=NewInvitation,
        responses={201: InvitationSerializer} | problems(400, 401, 403, 404, 409),
        examples=[*_ONE, OpenApiExample("somebody", {"email": "grace@example.com"}, request_only=True)],
    )
    def post(self, request: Request, org_id: str) -> Response:
        """For owners; admins invite plain members. Inviting again replaces the earlier offer, so a retry is safe."""
        by = standing_at(request, org_id)
        invitation = invitations.invite(by, **checked(NewInvitation(data=request.data)))
        return Response(InvitationSerializer(invitation).data, status=201)


class OneInvitation(ApiView):
    """One open offer."""

    permissions = {"DELETE": needs(ORG_MANAGE)}

    @extend_schema(
        operation_id="revokeInvitation",
        summary="Take an invitation back",
        tags=["organisations"],
        responses={204: None} | problems(401, 403, 404),
    )
    def delete(self, request: Request, org_id: str, invitation_id: str) -> Response:
        """For owners; admins take back those of plain members."""
        invitations.revoke(standing_at(request, org_id), identifier(invitation_id))
        return Response(status=204)


class Accepting(ApiView):
    """The invited user's yes."""

    permissions = {"POST": needs(ORG_MANAGE)}

    @extend_schema(
        operation_id="acceptInvitation",
        summary="Accept an invitation that was sent to your verified address",
        tags=["organisations"],
        request=Acceptance,
        responses={200: OrganisationSerializer} | problems(400, 401, 403, 404),
        examples=[
            OpenApiExample("the mail's secret", {"token": "q3Jd…"}, request_only=True),
            OpenApiExample("your new organisation", ORGANISATION | {"role": "member"}, response_only=True),
        ],
    )
    def post(self, request: Request) -> Response:
        """Works once. 403 ``invitation_for_another_address`` when the invited address is not the caller's own."""
        caller = caller_of(request)
        secret = checked(Acceptance(data=request.data))["token"]
        org_id = memberships.accept_invitation(secret, founder_for(caller).pk)
        return Response(OrganisationSerializer(organisation_for(caller, org_id)).data)
