"""``GET /api/v1/audit``: who changed what in an organisation, for its owners and admins."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.audit.api import Entry, entries
from apps.core.acting import OPERATOR
from apps.core.http.caller import ORG_MANAGE, Caller
from apps.core.http.errors import FieldErrors
from apps.core.http.pagination import page
from apps.core.http.permissions import Permission, needs
from apps.core.http.schema import PAGE_PARAMETERS, listing, problems
from apps.core.http.serializers import Strict
from apps.core.http.views import ApiView, caller_of
from apps.orgs.selectors import standing_for


class AuditQuery(Strict):
    """The query parameters. ``from`` and ``to`` are both included."""

    orgId = serializers.UUIDField(source="org_id", required=False)
    action = serializers.CharField(required=False, max_length=64)
    actor = serializers.CharField(required=False, max_length=64)
    subject = serializers.CharField(required=False, max_length=64)
    to = serializers.DateTimeField(source="until", required=False)
    cursor = serializers.CharField(required=False)
    limit = serializers.CharField(required=False)

    def get_fields(self) -> dict[str, Any]:
        """With ``from``, which is a word of Python's."""
        return super().get_fields() | {"from": serializers.DateTimeField(source="since", required=False)}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The moments are in order.

        Raises:
            ValidationError: ``from`` is later than ``to``.
        """
        if "since" in attrs and "until" in attrs and attrs["since"] > attrs["until"]:
            raise serializers.ValidationError({"from": ["from must not be later than to"]})
        return attrs


class AuditActorSerializer(serializers.Serializer[Any]):
    """Who made the change."""

    kind = serializers.CharField(source="actor_kind")
    id = serializers.CharField(source="actor_id")
    name = serializers.CharField(source="actor_name")
    ip = serializers.SerializerMethodField(help_text="Empty for our own operators.")

    def get_ip(self, entry: Entry) -> str:
        """Where members' changes came from. Where operators work is told to the product's administrators only."""
        return entry.ip if entry.actor_kind != OPERATOR or self.context.get("is_admin") else ""


class AuditSubjectSerializer(serializers.Serializer[Any]):
    """What was changed."""

    kind = serializers.CharField(source="subject_kind")
    id = serializers.CharField(source="subject_id")


class AuditEntrySerializer(serializers.Serializer[Any]):
    """One change. ``before`` and ``after`` hold what differs; null: it was not there before, or is not any more."""

    id = serializers.UUIDField()
    at = serializers.DateTimeField()
    action = serializers.CharField()
    actor = AuditActorSerializer(source="*")
    subject = AuditSubjectSerializer(source="*")
    orgId = serializers.UUIDField(source="org_id", allow_null=True)
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)
    reason = serializers.CharField()
    requestId = serializers.CharField(source="request_id")


EXAMPLE = {
    "items": [
        {
            "id": "019aa1d2-5a3c-7f00-8d6e-0c1b2a394857",
            "at": "2026-01-31T12:00:00.000000Z",
            "action": "membership.changed",
            "actor": {
                "kind": "person", "id": "019aa1d2-0000-7f00-8d6e-0c1b2a394857", "name": "", "ip": "192.0.2.7",
            },
            "subject": {"kind": "membership", "id": "019aa1d2-1111-7f00-8d6e-0c1b2a394857"},
            "orgId": "019aa1d2-2222-7f00-8d6e-0c1b2a394857",
            "before": {"role": "member"},
            "after": {"role": "admin"},
            "reason": "",
            "requestId": "req_018f2b6c7d5e7a4b9c3d2e1f0a9b8c7d",
        }
    ],
    "next": None,
}  # fmt: skip

PARAMETERS = [
    OpenApiParameter("orgId", OpenApiTypes.UUID, description="The organisation. Only the role ADMIN may leave it out."),
    OpenApiParameter("action", description="As in api_key.revoked."),
    OpenApiParameter("actor", description="Id of whoever made the change."),
    OpenApiParameter("subject", description="Id of what was changed."),
    OpenApiParameter("from", OpenApiTypes.DATETIME, description="The earliest moment."),
    OpenApiParameter("to", OpenApiTypes.DATETIME, description="The latest moment; not before from."),
    *PAGE_PARAMETERS,
]


class AuditView(ApiView):
    """The trail of one organisation; for the role ADMIN also that of all."""

    permissions: ClassVar[Mapping[str, Permission]] = {"GET": needs(ORG_MANAGE)}

    @extend_schema(
        operation_id="listAuditEntries",
        summary="Who changed what in an organisation, newest first",
        description="For owners and admins of the organisation. What differs is in before and after.",
        tags=["organisations"],
        parameters=PARAMETERS,
        responses={200: listing(AuditEntrySerializer)} | problems(400, 401, 403, 404),
        examples=[OpenApiExample("a changed role", EXAMPLE, response_only=True, status_codes=["200"])],
    )
    def get(self, request: Request) -> Response:
        """A page of entries.

        Raises:
            NotFound: the organisation is none of the caller's.
            RoleMissing: the caller is a plain member of it.
        """
        query = AuditQuery(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        wanted, caller = dict(query.validated_data), caller_of(request)
        cursor, limit = wanted.pop("cursor", None), wanted.pop("limit", None)
        found, after = page(entries_for(caller, **wanted), cursor, limit)
        items = AuditEntrySerializer(found, many=True, context={"is_admin": caller.is_admin})
        return Response({"items": items.data, "next": after})


def entries_for(caller: Caller, **wanted: Any) -> QuerySet[Entry]:
    """Entries that the caller may read, restricted as ``audit.api.entries`` says.

    Raises:
        FieldErrors: no organisation is named, and the caller may not read all.
        NotFound: the organisation is none of the caller's.
        RoleMissing: the caller is a plain member of it.
    """
    org_id = wanted.pop("org_id", None)
    if org_id is not None:
        standing_for(caller, org_id).insist_on_managing()
    elif not caller.is_admin or caller.org_id is not None:
        raise FieldErrors([("orgId", "orgId is required")])
    return entries(org_id, **wanted)
