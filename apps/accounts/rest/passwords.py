"""Changing and resetting a password, proving an address: ``/api/v1/auth/{password,password-reset,verify-email}``."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import api
from apps.accounts.rest.visitors import session_id_of, user_id_of, visitor_of
from apps.core.http.permissions import ANYONE, FIRST_PARTY
from apps.core.http.schema import problems
from apps.core.http.serializers import Strict
from apps.core.http.views import ApiView

_LINK = "q3JdW0x7bT9mZ1kQ"
_SENT = {"message": "If this address is known here, a link is on its way to it."}


class _Password(serializers.CharField):
    def __init__(self) -> None:
        super().__init__(trim_whitespace=False, write_only=True, max_length=1024)


class ChangePasswordSerializer(Strict):
    """The password that is, and the one that shall be."""

    currentPassword = _Password()
    newPassword = _Password()


class ResetRequestSerializer(Strict):
    """Whose password was forgotten."""

    email = serializers.CharField(max_length=254)


class ResetSerializer(Strict):
    """A link's token, and the new password."""

    token = serializers.CharField(max_length=1024)
    newPassword = _Password()


class VerifySerializer(Strict):
    """A link's token."""

    token = serializers.CharField(max_length=1024)


class FreshTokenSerializer(serializers.Serializer[api.SignedIn]):
    """The token that goes on where the one before ended."""

    token = serializers.CharField(source="access")
    expiresAt = serializers.DateTimeField(source="expires_at")


class MessageSerializer(serializers.Serializer[Any]):
    """A sentence."""

    message = serializers.CharField()


class VerifiedSerializer(serializers.Serializer[Any]):
    """The proved address."""

    email = serializers.EmailField()
    emailVerified = serializers.BooleanField(source="email_verified")


class Password(ApiView):
    """The caller's password."""

    permissions = {"POST": FIRST_PARTY}

    @extend_schema(
        operation_id="changePassword", summary="Change my password", tags=["auth"], request=ChangePasswordSerializer,
        responses={200: FreshTokenSerializer} | problems(400, 401, 403, 429, 503),
        examples=[OpenApiExample("fresh token", {
            "token": "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.c2lnbmF0dXJl", "expiresAt": "2026-01-31T13:00:00Z",
        }, response_only=True), OpenApiExample("change", {
            "currentPassword": "Difference-1822", "newPassword": "Analytical-1837",
        }, request_only=True)],
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """All other sessions and all access tokens end; this session goes on with the token of the answer."""
        entered = _checked(ChangePasswordSerializer, request)
        session_id = session_id_of(request)
        user = api.change_password(
            user_id_of(request), entered["currentPassword"], entered["newPassword"], visitor_of(request),
            session_id=session_id,
        )  # fmt: skip
        return Response(FreshTokenSerializer(api.renew_tokens(user, session_id)).data)


class PasswordReset(ApiView):
    """A forgotten password."""

    permissions = {"POST": ANYONE}

    @extend_schema(
        operation_id="requestPasswordReset", summary="Forgot my password", tags=["auth"],
        request=ResetRequestSerializer, responses={202: MessageSerializer} | problems(400, 503),
        examples=[
            OpenApiExample("answer", _SENT, response_only=True, status_codes=["202"]),
            OpenApiExample("whose", {"email": "ada@example.com"}, request_only=True),
        ],
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """The same answer, in the same time, whether or not the address is known."""
        api.request_reset(_checked(ResetRequestSerializer, request)["email"])
        return Response(_SENT, status=202)


class PasswordResetConfirmation(ApiView):
    """The use of the link."""

    permissions = {"POST": ANYONE}

    @extend_schema(
        operation_id="resetPassword", summary="Set a new password", tags=["auth"], request=ResetSerializer,
        responses={204: None} | problems(400, 503),
        examples=[OpenApiExample(
            "new password", {"token": _LINK, "newPassword": "Analytical-1837"}, request_only=True,
        )],
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Works once, for an hour. All sessions and tokens of the user end."""
        entered = _checked(ResetSerializer, request)
        api.reset_password(entered["token"], entered["newPassword"], visitor_of(request))
        return Response(status=204)


class EmailVerification(ApiView):
    """The use of the link that proves an address."""

    permissions = {"POST": ANYONE}

    @extend_schema(
        operation_id="verifyEmail", summary="Prove my address", tags=["auth"], request=VerifySerializer,
        responses={200: VerifiedSerializer} | problems(400, 503),
        examples=[
            OpenApiExample("proved", {"email": "ada@example.com", "emailVerified": True}, response_only=True),
            OpenApiExample("link", {"token": _LINK}, request_only=True),
        ],
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Works once, for three days."""
        entered = _checked(VerifySerializer, request)
        return Response(VerifiedSerializer(api.verify_email(entered["token"], visitor_of(request))).data)


class EmailVerificationRequest(ApiView):
    """Another link."""

    permissions = {"POST": FIRST_PARTY}

    @extend_schema(
        operation_id="resendVerification", summary="Send the link again", tags=["auth"], request=None,
        responses={202: MessageSerializer} | problems(401, 403, 503),
        examples=[
            OpenApiExample("answer", {"message": "A link is on its way."}, response_only=True, status_codes=["202"]),
        ],
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """At most one a minute, and none once the address is proved."""
        api.request_verification(user_id_of(request))
        return Response({"message": "A link is on its way."}, status=202)


def _checked(kind: type[Strict], request: Request) -> Any:
    serializer = kind(data=request.data)
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data
