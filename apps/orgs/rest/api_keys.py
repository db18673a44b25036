"""Routes of API keys: the original's contract (create, list, revoke) and what it lacked (look, change, rotate).

They are here and not with the accounts, because whose keys one may manage depends on organisations: one's own, those
of the organisations that one runs, and for an ADMIN all.
"""

from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import api as accounts
from apps.accounts.api import ApiKey
from apps.core.http.caller import KEY_SCOPES, KEYS_MANAGE, Caller
from apps.core.http.errors import ApiError, FieldErrors, bad_request, not_found
from apps.core.http.permissions import needs
from apps.core.http.schema import problems
from apps.core.http.views import ApiView, caller_of
from apps.orgs.rest.api_key_fields import (
    ApiKeySerializer,
    ChangeApiKeySerializer,
    CreateApiKeySerializer,
    IssuedApiKeySerializer,
    RotateApiKeySerializer,
)
from apps.orgs.selectors import is_member, organisations_run_by

MANAGING = needs(KEYS_MANAGE)
MOST = 200

_SHOWN = {
    "id": "3fT9aZ0kQe", "userId": "0f8fad5b-d9cb-469f-a165-70867728950e", "name": "laptop",
    "createdAt": "2026-01-31T12:00:00.000000Z", "expiresAt": None, "lastUsedAt": None,
    "prefix": "leaky_0f8fad5b-d9cb-469f-a165-70867728950e_3fT9aZ0kQe…", "orgId": None, "scopes": ["inference"],
    "allowedModels": ["gpt-4o-mini"], "allowedIps": None, "budget": 1_000_000, "replacedBy": None,
}  # fmt: skip
_TEXT = "leaky_0f8fad5b-d9cb-469f-a165-70867728950e_3fT9aZ0kQe" + "0" * 38
_EXAMPLE = OpenApiExample("a key", _SHOWN, response_only=True)
_EXAMPLE_ISSUED = OpenApiExample("a new key", {**_SHOWN, "apiKey": _TEXT, "rawKey": _TEXT}, response_only=True)
_WANTED = OpenApiExample(
    "a key for one model", {"userId": _SHOWN["userId"], "name": "laptop", "allowedModels": ["gpt-4o-mini"]},
    request_only=True,
)  # fmt: skip
_CHANGED = OpenApiExample("a new name", {"name": "old laptop"}, request_only=True)
_GRACE = OpenApiExample("an hour", {"graceSeconds": 3600}, request_only=True)
_USER = OpenApiParameter("userId", OpenApiTypes.UUID, required=True, description="The keys' owner.")


class ApiKeysView(ApiView):
    """``/api/v1/auth/api-keys``: one's own keys; an ADMIN's: anybody's."""

    permissions: ClassVar = {"GET": MANAGING, "POST": MANAGING, "DELETE": MANAGING}

    @extend_schema(
        operation_id="createApiKey", summary="Make an API key", tags=["API keys"], request=CreateApiKeySerializer,
        responses={201: IssuedApiKeySerializer} | problems(400, 401, 403), examples=[_EXAMPLE_ISSUED, _WANTED],
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """The new key; its text is in this answer only."""
        caller = caller_of(request)
        body = request.data if isinstance(request.data, dict) else {}
        owner_id = _owner(caller, body.get("userId"))
        _insist_on_unlimited(caller)
        fields = _checked(CreateApiKeySerializer(data=request.data))
        fields["org_id"] = _payer(caller, owner_id, fields.get("org_id"))
        fields["scopes"] = _scopes(caller, fields.get("scopes"))
        del fields["owner_id"]
        try:
            key, text = accounts.create_api_key(accounts.find_user_by_id(owner_id), fields.pop("name", ""), **fields)
        except LookupError:
            raise bad_request("user not found") from None
        except accounts.TooManyKeys as error:
            raise bad_request(str(error), error.code) from None
        return _issued(key, text)

    @extend_schema(
        operation_id="listApiKeys", summary="A user's API keys, newest first", tags=["API keys"],
        parameters=[
            _USER,
            OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": MOST}, description="Most keys."),
            OpenApiParameter("cursor", OpenApiTypes.STR, description="Id of the last key that was seen."),
        ],
        responses={200: ApiKeySerializer(many=True)} | problems(400, 401, 403), examples=[_EXAMPLE],
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Keys that were not revoked; without ``limit`` all of them."""
        caller = caller_of(request)
        owner_id = _owner(caller, _parameter(request, "userId"))
        limit, cursor = _limit(request.query_params.get("limit")), request.query_params.get("cursor", "")
        try:
            found = accounts.keys_of(owner_id, org_id=caller.org_id, limit=limit, after=cursor)
        except LookupError:
            raise bad_request("cursor must be the id of a key in an earlier answer", "invalid_cursor") from None
        return Response(ApiKeySerializer(found, many=True).data)

    @extend_schema(
        operation_id="revokeApiKey", summary="Revoke an API key for good", tags=["API keys"],
        parameters=[_USER, OpenApiParameter("apiKeyId", OpenApiTypes.STR, required=True)],
        responses={204: None} | problems(400, 401, 403, 404),
    )  # fmt: skip
    def delete(self, request: Request) -> Response:
        """Gateways refuse it within a second."""
        caller = caller_of(request)
        key_id = _parameter(request, "apiKeyId").strip()
        owner_id = _owner(caller, _parameter(request, "userId"))
        if not key_id:
            raise bad_request("apiKeyId is required")
        key = _find(caller, key_id)
        if key.owner_id != owner_id or not accounts.revoke_api_key(key_id):
            raise not_found("api key not found")
        return Response(status=204)


class ApiKeyView(ApiView):
    """``/api/v1/auth/api-keys/{id}``: a key of one's own, or of an organisation that one runs."""

    permissions: ClassVar = {"GET": MANAGING, "PATCH": MANAGING}

    @extend_schema(
        operation_id="getApiKey", summary="An API key", tags=["API keys"],
        responses={200: ApiKeySerializer} | problems(401, 403, 404), examples=[_EXAMPLE],
    )  # fmt: skip
    def get(self, request: Request, key_id: str) -> Response:
        """Everything of it but its text."""
        return Response(ApiKeySerializer(_find(caller_of(request), key_id)).data)

    @extend_schema(
        operation_id="changeApiKey", summary="Change an API key", tags=["API keys"], request=ChangeApiKeySerializer,
        responses={200: ApiKeySerializer} | problems(400, 401, 403, 404, 409), examples=[_EXAMPLE, _CHANGED],
    )  # fmt: skip
    def patch(self, request: Request, key_id: str) -> Response:
        """Its scopes can only become fewer."""
        caller = caller_of(request)
        key = _find(caller, key_id)
        _insist_on_unlimited(caller)
        fields = _checked(ChangeApiKeySerializer(data=request.data))
        try:
            changed = accounts.narrow_api_key(key.pk, fields)
        except accounts.ScopesWidened as error:
            raise FieldErrors([("scopes", str(error))]) from None
        except accounts.KeyEnded as error:
            raise _ended(error) from None
        return Response(ApiKeySerializer(changed).data)


class RotateApiKeyView(ApiView):
    """``POST /api/v1/auth/api-keys/{id}/rotate``."""

    permissions: ClassVar = {"POST": MANAGING}

    @extend_schema(
        operation_id="rotateApiKey", summary="Replace an API key by a new one like it", tags=["API keys"],
        request=RotateApiKeySerializer, responses={201: IssuedApiKeySerializer} | problems(400, 401, 403, 404, 409),
        examples=[_EXAMPLE_ISSUED, _GRACE],
    )  # fmt: skip
    def post(self, request: Request, key_id: str) -> Response:
        """The new key, with its text. The old one works on for ``graceSeconds``, and both share one budget.

        A second rotation of the same key is 409 and names the successor.
        """
        caller = caller_of(request)
        key = _find(caller, key_id)
        _insist_on_own_text(caller, key)
        grace = timedelta(seconds=_checked(RotateApiKeySerializer(data=request.data))["graceSeconds"])
        try:
            return _issued(*accounts.rotate_api_key(key.pk, grace))
        except accounts.KeyEnded as error:
            raise _ended(error) from None


def _owner(caller: Caller, user_id: object) -> UUID:
    """Whose keys the request is about.

    Raises:
        ApiError: 403, not the caller's own id as exact text; for an ADMIN 400, no id.
    """
    if not caller.is_admin:
        if caller.user_id is None or user_id != str(caller.user_id):
            raise ApiError(403, "forbidden", "These keys are not yours to manage.")
        return caller.user_id
    if user_id is None or not str(user_id).strip():
        raise bad_request("userId is required")
    try:
        found = UUID(str(user_id))
    except ValueError:
        raise bad_request("invalid userId") from None
    if str(found) != str(user_id).lower():
        raise bad_request("invalid userId")
    return found


def _find(caller: Caller, key_id: str) -> ApiKey:
    run = organisations_run_by(caller.user_id) if caller.user_id else []
    try:
        return accounts.find_key_for(caller, key_id, run)
    except LookupError:
        raise not_found("api key not found") from None


def _insist_on_unlimited(caller: Caller) -> None:
    """A key with limits could make itself one without."""
    if not accounts.may_issue_keys(caller):
        raise ApiError(403, "limited_key", "A key with limits of its own cannot make or change keys.")


def _insist_on_own_text(caller: Caller, key: ApiKey) -> None:
    """Who gets a key's text can act as its owner: only the owner may, or who runs a service account's organisation."""
    if not (caller.is_admin or key.owner_id == caller.user_id or key.owner.kind == key.owner.Kind.SERVICE):
        raise ApiError(403, "forbidden", "Only its owner can rotate this key; you can revoke it.")
    if key.pk != caller.credential_id:
        _insist_on_unlimited(caller)
    _insist_on_scopes(caller, key.effective_scopes)


def _insist_on_scopes(caller: Caller, scopes: frozenset[str]) -> None:
    if lacking := sorted(scopes - caller.scopes):
        raise ApiError(403, "insufficient_scope", f"The credential lacks the scope {lacking[0]}.")


def _scopes(caller: Caller, wanted: list[str] | None) -> frozenset[str] | None:
    """Scopes of a new key: never more than the credential has that makes it. None: the usual ones."""
    if wanted is not None:
        _insist_on_scopes(caller, frozenset(wanted))
        return frozenset(wanted)
    usual = KEY_SCOPES & caller.scopes
    return None if usual == KEY_SCOPES else usual


def _payer(caller: Caller, owner_id: UUID, wanted: UUID | None) -> UUID | None:
    """The organisation that pays for a new key; that of a bound credential where none is named."""
    org_id = wanted or caller.org_id
    if org_id is not None and (caller.org_id not in {None, org_id} or not is_member(org_id, owner_id)):
        raise FieldErrors([("orgId", "The user is not a member of such an organisation.")])
    return org_id


def _checked(serializer: Any) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def _parameter(request: Request, name: str) -> str:
    value = request.query_params.get(name)
    if value is None:
        raise bad_request(f"{name} is required")
    return value


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MOST)) and 1 <= int(text) <= MOST):
        raise bad_request(f"limit must be a number from 1 to {MOST}")
    return int(text)


def _issued(key: ApiKey, text: str) -> Response:
    body = {**ApiKeySerializer(key).data, "apiKey": text, "rawKey": text}
    return Response(body, status=201, headers={"Cache-Control": "no-store"})


def _ended(error: accounts.KeyEnded) -> ApiError:
    return ApiError(409, "key_replaced" if error.successor else "key_ended", str(error))
