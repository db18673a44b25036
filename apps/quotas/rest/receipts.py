"""``/api/v1/receipts``: what calls cost, and why."""

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.core.signing import BadSignature, Signer
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.http.caller import TOKENS_READ
from apps.core.http.errors import bad_request
from apps.core.http.pagination import page_size
from apps.core.http.permissions import Permission, needs
from apps.core.http.schema import PAGE_PARAMETERS, listing, problems
from apps.core.http.serializers import Strict
from apps.core.http.views import ApiView, caller_of, identifier
from apps.quotas.receipts import Receipt, Wanted, receipt, receipts_of
from apps.quotas.rest.receipt_fields import EXAMPLE, ReceiptSerializer, RowSerializer
from apps.quotas.rest.whose import payer_asked


class ReceiptsQuery(Strict):
    """The query parameters. ``from`` and ``to`` are both included."""

    userId = serializers.CharField(required=False)
    orgId = serializers.CharField(required=False)
    request_id = serializers.CharField(required=False, max_length=64)
    provider = serializers.CharField(required=False, max_length=64)
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


PARAMETERS = [
    OpenApiParameter("userId", OpenApiTypes.UUID, description="Who paid. Without it and orgId: you."),
    OpenApiParameter("orgId", OpenApiTypes.UUID, description="The organisation that paid."),
    OpenApiParameter("request_id", OpenApiTypes.STR, description="The x-request-id of the call."),
    OpenApiParameter("provider", OpenApiTypes.STR, description="As in openai."),
    OpenApiParameter("from", OpenApiTypes.DATETIME, description="The earliest moment."),
    OpenApiParameter("to", OpenApiTypes.DATETIME, description="The latest moment; not before from."),
    *PAGE_PARAMETERS,
]


class Receipts(ApiView):
    """A payer's calls."""

    permissions: ClassVar[Mapping[str, Permission]] = {"GET": needs(TOKENS_READ)}

    @extend_schema(
        operation_id="listReceipts",
        summary="Calls and what they cost, newest first",
        tags=["tokens"],
        parameters=PARAMETERS,
        responses={200: listing(RowSerializer)} | problems(400, 401, 403, 404),
        examples=[
            OpenApiExample(
                "one page",
                {"items": [{name: value for name, value in EXAMPLE.items() if name != "transfers"}], "next": None},
                response_only=True,
                status_codes=["200"],
            )
        ],
    )
    def get(self, request: Request) -> Response:
        """A page.

        Raises:
            ApiError: 400, a parameter is wrong; 404, an organisation that is none of the caller's.
            NotYours: another user's.
        """
        query = ReceiptsQuery(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        wanted = {name: value for name, value in query.validated_data.items() if name not in {"userId", "orgId"}}
        cursor, size = wanted.pop("cursor", None), page_size(wanted.pop("limit", None))
        before = None if cursor is None else _position(cursor)
        found = receipts_of(payer_asked(request), Wanted(**wanted), before=before, limit=size + 1)
        following = _signer.sign(str(found[size - 1].hold.id)) if len(found) > size else None
        return Response({"items": RowSerializer(found[:size], many=True).data, "next": following})


class OneReceipt(ApiView):
    """One call."""

    permissions: ClassVar[Mapping[str, Permission]] = {"GET": needs(TOKENS_READ)}

    @extend_schema(
        operation_id="getReceipt",
        summary="What a call cost, and why",
        description="The id is the reservation id: the header x-reservation-id of the call's answer.",
        tags=["tokens"],
        responses={200: ReceiptSerializer} | problems(401, 403, 404),
        examples=[OpenApiExample("a completed call", EXAMPLE, response_only=True, status_codes=["200"])],
    )
    def get(self, request: Request, reservation_id: str) -> Response:
        """For whoever paid: the user, or the members of the organisation."""
        found: Receipt = receipt(caller_of(request), identifier(reservation_id))
        return Response(ReceiptSerializer(found).data)


_signer = Signer(salt="apps.quotas.rest.receipts", sep=".")


def _position(cursor: str) -> UUID:
    try:
        return UUID(_signer.unsign(cursor))
    except (BadSignature, ValueError) as error:
        raise bad_request("cursor must be the value of next in an earlier answer", "invalid_cursor") from error
