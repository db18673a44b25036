"""``/api/v1/orgs``: the caller's organisations."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import validate_label
from apps.core.http.caller import ORG_MANAGE
from apps.core.http.permissions import SIGNED_IN, needs
from apps.core.http.schema import PAGE_PARAMETERS, listing, problems
from apps.core.http.serializers import Strict
from apps.core.http.views import ApiView, caller_of, identifier
from apps.orgs import services
from apps.orgs.models import Membership
from apps.orgs.rest.tenant import checked, listed, standing_at
from apps.orgs.selectors import founder_for, organisation_for, organisations_for

SLUG = r"^[a-z0-9]+(-[a-z0-9]+)*\Z"


class OrganisationSerializer(serializers.Serializer[Any]):
    """An organisation, and what the caller is in it."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    slug = serializers.CharField()
    suspended = serializers.BooleanField()
    role = serializers.ChoiceField(Membership.Role.choices)


class NewOrganisation(Strict):
    """What a new organisation is called."""

    name = serializers.CharField(max_length=200, validators=[validate_label])
    slug = serializers.RegexField(SLUG, max_length=40, help_text="Lower-case letters, digits and hyphens.")


class OrganisationChange(Strict):
    """Its new name."""

    name = serializers.CharField(max_length=200, validators=[validate_label])


EXAMPLE = {
    "id": "018f2b6c-7d5e-7a4b-9c3d-2e1f0a9b8c7d",
    "name": "Analytical Engines",
    "slug": "engines",
    "suspended": False,
    "role": "owner",
}
_ONE = [OpenApiExample("organisation", EXAMPLE, response_only=True)]
_NEW = OpenApiExample("new", {"name": "Analytical Engines", "slug": "engines"}, request_only=True)
_RENAMED = OpenApiExample("new name", {"name": "Analytical Engines"}, request_only=True)
_LIST = [OpenApiExample("one page", {"items": [EXAMPLE], "next": None}, response_only=True)]


class Organisations(ApiView):
    """All of the caller's."""

    permissions = {"GET": SIGNED_IN, "POST": needs(ORG_MANAGE)}

    @extend_schema(
        operation_id="listOrganisations",
        summary="List the organisations that you belong to",
        tags=["organisations"],
        parameters=PAGE_PARAMETERS,
        responses={200: listing(OrganisationSerializer)} | problems(400, 401),
        examples=_LIST,
    )
    def get(self, request: Request) -> Response:
        """Newest first."""
        return listed(request, organisations_for(caller_of(request)), OrganisationSerializer)

    @extend_schema(
        operation_id="createOrganisation",
        summary="Create an organisation; you become its owner",
        tags=["organisations"],
        request=NewOrganisation,
        responses={201: OrganisationSerializer} | problems(400, 401, 403, 409),
        examples=[*_ONE, _NEW],
    )
    def post(self, request: Request) -> Response:
        """Tried again with a slug of the caller's, 409 ``organisation_exists`` names the organisation that there is."""
        caller = caller_of(request)
        founder = founder_for(caller)
        org = services.create(founder, **checked(NewOrganisation(data=request.data)))
        return Response(OrganisationSerializer(organisation_for(caller, org.pk)).data, status=201)


class OneOrganisation(ApiView):
    """One of the caller's."""

    permissions = {"GET": SIGNED_IN, "PATCH": needs(ORG_MANAGE)}

    @extend_schema(
        operation_id="getOrganisation",
        summary="Read an organisation that you belong to",
        tags=["organisations"],
        responses={200: OrganisationSerializer} | problems(401, 404),
        examples=_ONE,
    )
    def get(self, request: Request, org_id: str) -> Response:
        """For every member."""
        return Response(OrganisationSerializer(organisation_for(caller_of(request), identifier(org_id))).data)

    @extend_schema(
        operation_id="renameOrganisation",
        summary="Rename an organisation",
        tags=["organisations"],
        request=OrganisationChange,
        responses={200: OrganisationSerializer} | problems(400, 401, 403, 404),
        examples=[*_ONE, _RENAMED],
    )
    def patch(self, request: Request, org_id: str) -> Response:
        """For admins and owners."""
        by = standing_at(request, org_id)
        services.rename(by, **checked(OrganisationChange(data=request.data)))
        return Response(OrganisationSerializer(organisation_for(caller_of(request), by.org_id)).data)
