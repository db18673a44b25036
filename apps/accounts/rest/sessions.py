"""Where a user is signed in: ``/api/v1/auth/sessions``."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import api
from apps.accounts.models import Session
from apps.accounts.rest.visitors import session_id_of, user_id_of
from apps.core.http.errors import not_found
from apps.core.http.pagination import page
from apps.core.http.permissions import FIRST_PARTY
from apps.core.http.schema import PAGE_PARAMETERS, listing, problems
from apps.core.http.views import ApiView, identifier


class SessionSerializer(serializers.Serializer[Any]):
    """One sign-in."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(Session.Kind.choices)
    ip = serializers.IPAddressField(allow_null=True)
    userAgent = serializers.CharField(source="user_agent")
    createdAt = serializers.DateTimeField(source="created_at")
    lastSeenAt = serializers.DateTimeField(source="last_seen_at")
    expiresAt = serializers.DateTimeField(source="expires_at")
    current = serializers.SerializerMethodField(help_text="Whether it is the one that asks.")

    def get_current(self, session: Session) -> bool:
        """By the id that the view puts into the context."""
        return bool(session.pk == self.context.get("current"))


_EXAMPLE = {
    "items": [
        {
            "id": "018f2b6c-7d5e-7a4b-9c3d-2e1f0a9b8c7d",
            "kind": "api",
            "ip": "203.0.113.7",
            "userAgent": "curl/8.5.0",
            "createdAt": "2026-01-31T12:00:00.000000Z",
            "lastSeenAt": "2026-01-31T12:30:00.000000Z",
            "expiresAt": "2026-03-02T12:30:00.000000Z",
            "current": True,
        }
    ],
    "next": None,
}


class Sessions(ApiView):
    """The caller's open sessions."""

    permissions = {"GET": FIRST_PARTY}

    @extend_schema(
        operation_id="listSessions", summary="Where I am signed in", tags=["auth"], parameters=PAGE_PARAMETERS,
        responses={200: listing(SessionSerializer)} | problems(400, 401, 403, 503),
        examples=[OpenApiExample("one session", _EXAMPLE, response_only=True)],
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Newest first: at the API, and in browsers."""
        mine = api.sessions_for(user_id_of(request))
        rows, cursor = page(mine, request.query_params.get("cursor"), request.query_params.get("limit"))
        context = {"current": session_id_of(request)}
        return Response({"items": SessionSerializer(rows, many=True, context=context).data, "next": cursor})


class OneSession(ApiView):
    """One of them."""

    permissions = {"DELETE": FIRST_PARTY}

    @extend_schema(
        operation_id="endSession", summary="Sign out elsewhere", tags=["auth"], request=None,
        responses={204: None} | problems(401, 403, 404, 503),
    )  # fmt: skip
    def delete(self, request: Request, session_id: str) -> Response:
        """End one of the caller's sessions: its tokens die within a second, its cookie at once."""
        if not api.end_session(user_id_of(request), identifier(session_id)):
            raise not_found()
        return Response(status=204)
