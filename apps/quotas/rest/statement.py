"""``GET /api/v1/tokens/statement``: what moved in an account, and what it had at any moment."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.core.signing import BadSignature, Signer
from django.http import HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.http.caller import TOKENS_READ
from apps.core.http.errors import bad_request
from apps.core.http.pagination import page_size
from apps.core.http.permissions import Permission, needs
from apps.core.http.schema import PAGE_PARAMETERS, problems
from apps.core.http.serializers import Strict
from apps.core.http.views import ApiView, caller_of
from apps.quotas.rest import statement_csv
from apps.quotas.rest.whose import naming, no_quota, payer_asked, required
from apps.quotas.statement import COLUMNS, Balances
from apps.quotas.statement_pages import Page, Pages
from apps.quotas.statement_selectors import Place, closing_at

CSV = "text/csv"


class StatementQuery(Strict):
    """The query parameters. ``from`` and ``to`` are both included; ``at`` stands alone."""

    userId = serializers.CharField(required=False)
    orgId = serializers.CharField(required=False)
    provider = serializers.CharField()
    to = serializers.DateTimeField(source="until", required=False)
    at = serializers.DateTimeField(required=False)
    format = serializers.ChoiceField(["json", "csv"], required=False)
    cursor = serializers.CharField(required=False)
    limit = serializers.CharField(required=False)

    def get_fields(self) -> dict[str, Any]:
        """With ``from``, which is a word of Python's."""
        return super().get_fields() | {"from": serializers.DateTimeField(source="since", required=False)}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The moments make sense.

        Raises:
            ValidationError: ``from`` is later than ``to``, ``at`` is still to come or stands beside a range.
        """
        if "since" in attrs and "until" in attrs and attrs["since"] > attrs["until"]:
            raise serializers.ValidationError({"from": ["from must not be later than to"]})
        if "at" in attrs and attrs["at"] > timezone.now():
            raise serializers.ValidationError({"at": ["at must not be in the future"]})
        if "at" in attrs and {"since", "until", "cursor", "limit"} & set(attrs):
            raise serializers.ValidationError({"at": ["at stands alone"]})
        return attrs


class BalancesSerializer(serializers.Serializer[Any]):
    """Every balance of an account at one moment, in tokens."""

    def get_fields(self) -> dict[str, Any]:
        """One field for each column."""
        return {name: serializers.IntegerField() for name in COLUMNS}


class MovementSerializer(serializers.Serializer[Any]):
    """One transfer. ``change`` is what it did to ``balance``; most moves between balances do nothing to it."""

    id = serializers.UUIDField(source="movement.id")
    at = serializers.DateTimeField(source="movement.at")
    code = serializers.CharField(source="movement.code")
    to = serializers.CharField(source="movement.credit")
    tokens = serializers.IntegerField(source="movement.tokens")
    change = serializers.IntegerField(source="movement.change")
    balance = serializers.IntegerField(source="after.balance", help_text="What the payer had after it.")
    reference = serializers.UUIDField(source="movement.ref", help_text="The reservation, grant or lease.")
    requestId = serializers.CharField(source="movement.request_id")
    reason = serializers.CharField(source="movement.reason")

    def get_fields(self) -> dict[str, Any]:
        """With ``from``, which is a word of Python's."""
        return super().get_fields() | {"from": serializers.CharField(source="movement.debit")}


class StatementSerializer(serializers.Serializer[Any]):
    """The newest movements first. ``balances`` are those after the first of ``items``, or at ``at``."""

    userId = serializers.UUIDField(required=False)
    orgId = serializers.UUIDField(required=False)
    provider = serializers.CharField()
    at = serializers.DateTimeField(allow_null=True)
    balance = serializers.IntegerField(help_text="available + leased + held: what the payer has.")
    balances = BalancesSerializer()
    items = MovementSerializer(many=True)
    next = serializers.CharField(allow_null=True)


EXAMPLE = {
    "userId": "018f2b6c-7d5e-7a4b-9c3d-2e1f0a9b8c7d",
    "provider": "openai",
    "at": None,
    "balance": 999_958,
    "balances": {
        "granted": 1_000_000, "pending": 0, "available": 900_000, "leased": 99_958, "held": 0, "spent": 42,
        "expired": 0, "refunded": 0, "absorbed": 0,
    },
    "items": [
        {
            "id": "019aa1d2-5a3c-7f00-8d6e-0c1b2a394857", "at": "2026-01-31T12:00:00.000000Z", "code": "SETTLE",
            "from": "leased", "to": "spent", "tokens": 42, "change": -42, "balance": 999_958,
            "reference": "019aa1d2-0000-7f00-8d6e-0c1b2a394857",
            "requestId": "req_018f2b6c7d5e7a4b9c3d2e1f0a9b8c7d", "reason": "",
        }
    ],
    "next": None,
}  # fmt: skip
LINE = (
    "at,id,code,from,to,tokens,change,balance,reference,requestId,reason\r\n"
    "2026-01-31T12:00:00Z,019aa1d2-5a3c-7f00-8d6e-0c1b2a394857,SETTLE,leased,spent,42,-42,999958,"
    "019aa1d2-0000-7f00-8d6e-0c1b2a394857,req_018f2b6c7d5e7a4b9c3d2e1f0a9b8c7d,\r\n"
)

PARAMETERS = [
    OpenApiParameter("userId", OpenApiTypes.UUID, description="Whose account. Without it and orgId: your own."),
    OpenApiParameter("orgId", OpenApiTypes.UUID, description="The organisation whose account it is."),
    OpenApiParameter("provider", OpenApiTypes.STR, required=True, description="As in openai."),
    OpenApiParameter("from", OpenApiTypes.DATETIME, description="The earliest moment."),
    OpenApiParameter("to", OpenApiTypes.DATETIME, description="The latest moment; not before from."),
    OpenApiParameter("at", OpenApiTypes.DATETIME, description="Only the balances at the end of this past moment."),
    OpenApiParameter("format", OpenApiTypes.STR, enum=["json", "csv"], description="csv: as Accept: text/csv."),
    *PAGE_PARAMETERS,
]


class StatementView(ApiView):
    """One account's movements."""

    permissions: ClassVar[Mapping[str, Permission]] = {"GET": needs(TOKENS_READ)}

    @extend_schema(
        operation_id="getStatement",
        summary="What moved in an account, newest first, and its balance after each movement",
        description="With at: the balances at that moment. As CSV it is the whole range in one answer.",
        tags=["tokens"],
        parameters=PARAMETERS,
        responses={
            (200, "application/json"): StatementSerializer,
            (200, CSV): OpenApiResponse(OpenApiTypes.STR, "The same lines.", [OpenApiExample("csv", LINE)]),
        }
        | problems(400, 401, 403, 404),
        examples=[OpenApiExample("a call", EXAMPLE, response_only=True, status_codes=["200"])],
    )
    def get(self, request: Request) -> HttpResponseBase:
        """A page, or all of it as CSV.

        Raises:
            ApiError: 400, a parameter is wrong; 404, there is no such account, or it is none of the caller's.
            NotYours: another user's.
        """
        provider = required(request, "provider")
        payer = payer_asked(request)
        query = StatementQuery(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        wanted = dict(query.validated_data)
        account = payer.account(provider)
        about = naming(payer) | {"provider": provider}
        if "at" in wanted:
            return _at(account, about, wanted["at"])
        pages = Pages(account, wanted.get("since"), wanted.get("until"))
        if _wants_csv(request, wanted):
            return _csv(request, pages, provider)
        return _json(pages, about, wanted)


def _wants_csv(request: Request, wanted: Mapping[str, Any]) -> bool:
    """``format`` counts before ``Accept``."""
    if "format" in wanted:
        return bool(wanted["format"] == "csv")
    accepted = request.headers.get("Accept", "").split(",")
    return any(kind.partition(";")[0].strip().lower() == CSV for kind in accepted)


def _at(account: UUID, about: Mapping[str, str], at: datetime) -> Response:
    closing = closing_at(account, at)
    if closing is None:
        raise no_quota()
    return _answer(about, at, Page(closing.balances, [], None), None)


def _json(pages: Pages, about: Mapping[str, str], wanted: Mapping[str, Any]) -> Response:
    size = page_size(wanted.get("limit"))
    try:
        cursor = wanted.get("cursor")
        page = pages.first(size) if cursor is None else pages.after(_place(pages.account, cursor), size)
    except LookupError:
        raise no_quota() from None
    following = _cursor(pages.account, page.following) if page.following else None
    return _answer(about, None, page, following)


def _answer(about: Mapping[str, str], at: datetime | None, page: Page, following: str | None) -> Response:
    whole = {
        **about, "at": at, "balance": page.closing.balance, "balances": asdict(page.closing), "items": page.lines,
        "next": following,
    }  # fmt: skip
    return Response(StatementSerializer(whole).data)


def _csv(request: Request, pages: Pages, provider: str) -> HttpResponseBase:
    if closing_at(pages.account, timezone.now()) is None:
        raise no_quota()
    answer = StreamingHttpResponse(
        statement_csv.stream(caller_of(request), pages), content_type=f"{CSV}; charset=utf-8"
    )
    answer["Content-Disposition"] = f'attachment; filename="statement-{_file_name(provider)}.csv"'
    return answer


def _file_name(text: str) -> str:
    return "".join(letter for letter in text if letter.isascii() and (letter.isalnum() or letter in "-_"))[:64]


_signer = Signer(salt="apps.quotas.rest.statement", sep="~")


def _cursor(account: UUID, place: Place) -> str:
    """Where the next page begins. Signed, and bound to its account, because the balances in it are believed."""
    return _signer.sign_object([str(account), place.at.isoformat(), str(place.id), *asdict(place.before).values()])


def _place(account: UUID, cursor: str) -> Place:
    try:
        of, at, last, *columns = _signer.unsign_object(cursor)
    except (BadSignature, ValueError) as error:
        raise bad_request("cursor must be the value of next in an earlier answer", "invalid_cursor") from error
    if of != str(account):
        raise bad_request("cursor must be the value of next in an answer about this account", "invalid_cursor")
    return Place(datetime.fromisoformat(at), UUID(last), Balances(*columns))
