"""``/api/v1/tokens/quota`` and its relatives: what may still be spent."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.http.caller import TOKENS_READ
from apps.core.http.permissions import SIGNED_IN, Permission, needs
from apps.core.http.schema import PAGE_PARAMETERS, listing, problems
from apps.core.http.views import ApiView
from apps.quotas.payers import Payer
from apps.quotas.quota_selectors import quotas_of
from apps.quotas.rest.names import page_of
from apps.quotas.rest.quota_fields import (
    EXAMPLE,
    ORGANISATION,
    AnyQuotaSerializer,
    OrganisationQuotaSerializer,
    UserQuotaSerializer,
    shown,
)
from apps.quotas.rest.whose import no_quota, organisation_asked, payer_asked, required, user_asked

READING = needs(TOKENS_READ)
PROVIDER = OpenApiParameter("provider", OpenApiTypes.STR, required=True, description="As in openai; case counts.")
PAYER = [
    OpenApiParameter(
        "userId", OpenApiTypes.UUID, description="Whose. Without it and orgId: who your credential pays for."
    ),
    OpenApiParameter("orgId", OpenApiTypes.UUID, description="The organisation's."),
]
_OF_USER = [OpenApiExample("a user's", EXAMPLE, response_only=True, status_codes=["200"])]
_OF_ORGANISATION = OpenApiExample("an organisation's", ORGANISATION, response_only=True, status_codes=["200", "201"])


class StatusSerializer(serializers.Serializer[Any]):
    """That the service answers."""

    service = serializers.CharField()
    status = serializers.CharField()
    timestamp = serializers.DateTimeField()


class Status(ApiView):
    """``GET /api/v1/tokens/status``."""

    permissions: ClassVar[Mapping[str, Permission]] = {"GET": SIGNED_IN}

    @extend_schema(
        operation_id="tokenStatus",
        summary="Whether the token service answers",
        tags=["tokens"],
        responses={200: StatusSerializer} | problems(401),
        examples=[
            OpenApiExample(
                "ok", {"service": "token-service", "status": "ok", "timestamp": "2026-01-31T12:00:00.000000Z"},
                response_only=True, status_codes=["200"],
            )
        ],
    )  # fmt: skip
    def get(self, request: Request) -> Response:  # noqa: ARG002
        """As the original says it."""
        said = {"service": "token-service", "status": "ok", "timestamp": datetime.now(UTC)}
        return Response(StatusSerializer(said).data)


class UserQuota(ApiView):
    """``GET /api/v1/tokens/quota?userId=&provider=``."""

    permissions: ClassVar[Mapping[str, Permission]] = {"GET": READING}

    @extend_schema(
        operation_id="getUserQuota",
        summary="What a user may still spend with a provider",
        description="Your own; an ADMIN's: anybody's. Right to the token while calls go on.",
        tags=["tokens"],
        parameters=[
            OpenApiParameter("userId", OpenApiTypes.UUID, required=True, description="Whose."),
            PROVIDER,
        ],
        responses={200: UserQuotaSerializer} | problems(400, 401, 403, 404),
        examples=_OF_USER,
    )
    def get(self, request: Request) -> Response:
        """One quota.

        Raises:
            ApiError: 400, a parameter is wrong; 404, nothing was ever given.
            NotYours: another user's.
        """
        required(request, "userId")
        provider = required(request, "provider")
        payer = user_asked(request)
        return Response(one(payer, provider))


class OrganisationQuota(ApiView):
    """``/api/v1/tokens/quota/org``."""

    permissions: ClassVar[Mapping[str, Permission]] = {"GET": READING}

    @extend_schema(
        operation_id="getOrganisationQuota",
        summary="What an organisation may still spend with a provider",
        description="For its members.",
        tags=["tokens"],
        parameters=[
            OpenApiParameter("orgId", OpenApiTypes.UUID, required=True, description="The organisation."),
            PROVIDER,
        ],
        responses={200: OrganisationQuotaSerializer} | problems(400, 401, 403, 404),
        examples=[_OF_ORGANISATION],
    )
    def get(self, request: Request) -> Response:
        """One quota.

        Raises:
            ApiError: 400, a parameter is wrong; 404, nothing was ever given, or the organisation is not the caller's.
        """
        required(request, "orgId")
        provider = required(request, "provider")
        return Response(one(organisation_asked(request), provider))


class OwnQuotas(ApiView):
    """``GET /api/v1/tokens/quotas``."""

    permissions: ClassVar[Mapping[str, Permission]] = {"GET": READING}

    @extend_schema(
        operation_id="listQuotas",
        summary="What a payer may still spend, by provider",
        tags=["tokens"],
        parameters=[*PAYER, *PAGE_PARAMETERS],
        responses={200: listing(AnyQuotaSerializer)} | problems(400, 401, 403, 404),
        examples=[
            OpenApiExample("one page", {"items": [EXAMPLE], "next": None}, response_only=True, status_codes=["200"])
        ],
    )
    def get(self, request: Request) -> Response:
        """A page.

        Raises:
            ApiError: 400, a parameter is wrong; 404, an organisation that is none of the caller's.
            NotYours: another user's.
        """
        payer = payer_asked(request)
        return page_of(request, [shown(payer, quota) for quota in quotas_of(payer)])


class ProviderQuota(ApiView):
    """``GET /api/v1/providers/{provider}/quota``."""

    permissions: ClassVar[Mapping[str, Permission]] = {"GET": READING}

    @extend_schema(
        operation_id="getProviderQuota",
        summary="What you may still spend with a provider",
        tags=["tokens"],
        parameters=PAYER,
        responses={200: AnyQuotaSerializer} | problems(400, 401, 403, 404),
        examples=_OF_USER,
    )
    def get(self, request: Request, provider: str) -> Response:
        """One quota.

        Raises:
            ApiError: 404, nothing was ever given, or the organisation is none of the caller's.
            NotYours: another user's.
        """
        return Response(one(payer_asked(request), provider))


def one(payer: Payer, provider: str) -> dict[str, Any]:
    """A payer's quota with a provider, as it is answered.

    Raises:
        ApiError: 404, nothing was ever given.
    """
    found = quotas_of(payer, [provider])
    if not found:
        raise no_quota()
    return shown(payer, found[0])
