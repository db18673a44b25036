"""Sign-up, sign-in, and the life of a token: ``/api/v1/auth/{register,login,refresh,logout,me}``.

Register and login answer as the original did (CONTRACT, section 1.1), with some fields more.
"""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import api
from apps.accounts.models import User
from apps.accounts.rest.visitors import session_id_of, user_id_of, visitor_of
from apps.core.errors import InvalidCredential
from apps.core.http.errors import ApiError, bad_request
from apps.core.http.permissions import ANYONE, FIRST_PARTY, SIGNED_IN
from apps.core.http.schema import problems
from apps.core.http.serializers import Lenient, Strict
from apps.core.http.views import ApiView

_EXAMPLE = {
    "userId": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "username": "ada",
    "token": "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.c2lnbmF0dXJl",
    "roles": ["USER"],
    "email": "ada@example.com",
    "createdAt": "2026-01-31T12:00:00.000000Z",
    "expiresAt": "2026-01-31T13:00:00Z",
    "refreshToken": "eyJhbGciOiJSUzI1NiIsInR5cCI6InJ0K2p3dCJ9.e30.c2lnbmF0dXJl",
}
_SIGNED_IN = OpenApiExample("signed in", _EXAMPLE, response_only=True)
_SIGN_UP = OpenApiExample(
    "ada", {"username": "ada", "email": "ada@example.com", "password": "Difference-1822"}, request_only=True
)
_SIGN_IN = OpenApiExample("ada", {"username": "ada", "password": "Difference-1822"}, request_only=True)
_RENEWAL = OpenApiExample("renewal", {"refreshToken": _EXAMPLE["refreshToken"]}, request_only=True)


class _Text(serializers.CharField):
    """A text that may be missing, null or blank: the view has a sentence of its own for that."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, allow_null=True, allow_blank=True, default="", **options)


class LoginSerializer(Lenient):
    """What the original's clients send to sign in."""

    model = User
    username = _Text()
    password = _Text(trim_whitespace=False, write_only=True)


class RegisterSerializer(LoginSerializer):
    """What the original's clients send to sign up."""

    email = _Text()


class RefreshSerializer(Strict):
    """The refresh token of the last answer."""

    refreshToken = serializers.CharField(max_length=8192)


class LogoutSerializer(Strict):
    """Whether to end all other sessions, too."""

    everywhere = serializers.BooleanField(default=False)


class SignedInSerializer(serializers.Serializer[api.SignedIn]):
    """Who signed in, and their tokens."""

    userId = serializers.UUIDField(source="user.pk")
    username = serializers.CharField(source="user.username")
    token = serializers.CharField(source="access")
    roles = serializers.ListField(child=serializers.CharField())
    email = serializers.EmailField(source="user.email")
    createdAt = serializers.DateTimeField(source="user.date_joined")
    expiresAt = serializers.DateTimeField(source="expires_at")
    refreshToken = serializers.CharField(source="refresh")


class MeSerializer(serializers.Serializer[User]):
    """Who calls."""

    userId = serializers.UUIDField(source="pk")
    username = serializers.CharField()
    email = serializers.EmailField()
    emailVerified = serializers.BooleanField(source="email_verified")
    roles = serializers.SerializerMethodField()
    createdAt = serializers.DateTimeField(source="date_joined")

    def get_roles(self, user: User) -> list[str]:
        """Sorted names."""
        return list(api.roles_of(user.pk))


class Register(ApiView):
    """Sign up."""

    permissions = {"POST": ANYONE}

    @extend_schema(
        operation_id="register", summary="Sign up", tags=["auth"], request=RegisterSerializer,
        responses={201: SignedInSerializer} | problems(400, 503), examples=[_SIGNED_IN, _SIGN_UP],
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """A new user of the role USER, signed in; a link to prove the address is on its way by e-mail."""
        entered = _checked(RegisterSerializer, request)
        if not (entered["username"] and entered["email"] and (entered["password"] or "").strip()):
            raise bad_request("username, email, and password are required")
        visitor = visitor_of(request)
        user = api.register(entered["username"], entered["email"], entered["password"], visitor)
        return Response(SignedInSerializer(api.open_api_session(user, visitor)).data, status=201)


class Login(ApiView):
    """Sign in."""

    permissions = {"POST": ANYONE}

    @extend_schema(
        operation_id="login", summary="Sign in", tags=["auth"], request=LoginSerializer,
        responses={200: SignedInSerializer} | problems(400, 401, 429, 503), examples=[_SIGNED_IN, _SIGN_IN],
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """A token for an hour, and one to renew it with. Five wrong passwords lock the name for a while (429)."""
        entered = _checked(LoginSerializer, request)
        if not (entered["username"] and (entered["password"] or "").strip()):
            raise _refused("username and password are required")
        try:
            found = api.log_in(entered["username"], entered["password"], visitor_of(request))
        except InvalidCredential as error:
            raise _refused("invalid credentials") from error
        return Response(SignedInSerializer(found).data)


class Refresh(ApiView):
    """Renew a token."""

    permissions = {"POST": ANYONE}

    @extend_schema(
        operation_id="refresh", summary="Renew a token", tags=["auth"], request=RefreshSerializer,
        responses={200: SignedInSerializer} | problems(400, 401, 503), examples=[_SIGNED_IN, _RENEWAL],
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """New tokens. A refresh token works once: its second use ends the session, for whoever holds a copy, too."""
        entered = _checked(RefreshSerializer, request)
        return Response(SignedInSerializer(api.refresh(entered["refreshToken"])).data)


class Logout(ApiView):
    """Sign out."""

    permissions = {"POST": FIRST_PARTY}

    @extend_schema(
        operation_id="logout", summary="Sign out", tags=["auth"], request=LogoutSerializer,
        responses={204: None} | problems(400, 401, 403, 503),
        examples=[OpenApiExample("everywhere", {"everywhere": True}, request_only=True)],
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """End this session; with ``everywhere`` all sessions and tokens of the user. API keys go on."""
        if _checked(LogoutSerializer, request)["everywhere"]:
            api.end_all(user_id_of(request))
        else:
            api.end_session(user_id_of(request), session_id_of(request))
        return Response(status=204)


class Me(ApiView):
    """The caller."""

    permissions = {"GET": SIGNED_IN}

    @extend_schema(
        operation_id="me", summary="Who am I", tags=["auth"], responses={200: MeSerializer} | problems(401, 503),
        examples=[OpenApiExample("a user", {
            "userId": _EXAMPLE["userId"], "username": "ada", "email": "ada@example.com", "emailVerified": True,
            "roles": ["USER"], "createdAt": _EXAMPLE["createdAt"],
        }, response_only=True)],
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """The user behind the credential, whatever its kind."""
        return Response(MeSerializer(api.find_user(str(user_id_of(request)))).data)


def _checked(kind: type[serializers.Serializer[Any]], request: Request) -> Any:
    serializer = kind(data=request.data)
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data


def _refused(message: str) -> ApiError:
    return ApiError(401, "invalid_credentials", message, headers={"WWW-Authenticate": "Bearer"})
