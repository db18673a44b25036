"""Endpoints that clients call, not people: token, revoke, introspect, userinfo. No cookie counts here."""

import hashlib
from datetime import datetime
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import View
from oauth2_provider.models import RefreshToken, refresh_token_expire_timedelta
from oauth2_provider.views.mixins import OAuthLibMixin
from oauthlib.common import Request as Asked

from apps.accounts import selectors, signing, tokens
from apps.accounts.models import Application
from apps.accounts.oauth.generators import version_of
from apps.core.errors import InvalidCredential

FORM = "application/x-www-form-urlencoded"
REPEATABLE = {"resource"}
BEARER = "Bearer"


def refusal(status: int, error: str, description: str) -> JsonResponse:
    """An error as RFC 6749, section 5.2 wants it."""
    return JsonResponse({"error": error, "error_description": description}, status=status)


def bad_form(request: HttpRequest) -> JsonResponse | None:
    """The refusal of a request that is no plain form; None if it is one. Nothing of it was looked at before."""
    if request.content_type != FORM:
        return refusal(415, "invalid_request", f"The body must be {FORM}.")
    if request.GET:
        return refusal(400, "invalid_request", "Parameters belong in the body, where no log keeps them.")
    for name, values in request.POST.lists():
        if len(values) > 1 and name not in REPEATABLE:
            return refusal(400, "invalid_request", "A parameter is repeated.")
        if any("\0" in text for text in (name, *values)):
            return refusal(400, "invalid_request", "A parameter has a NUL character.")
    return None


@method_decorator((csrf_exempt, never_cache, sensitive_post_parameters()), name="dispatch")
class ClientView(OAuthLibMixin, View):
    """A form from a client. One transaction each: what a refusal ends (a stolen family) is ended by its commit."""

    http_method_names = ["post"]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Anything but a plain form is refused first."""
        if request.method == "POST" and (refused := bad_form(request)):
            return refused
        with transaction.atomic():
            return super().dispatch(request, *args, **kwargs)


class TokenView(ClientView):
    """Codes, refresh tokens and client secrets for access tokens (RFC 6749, section 3.2)."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """The tokens, or an error by section 5.2."""
        return _relay(*self.create_token_response(request)[1:])


class RevokeView(ClientView):
    """Ends a token (RFC 7009). 200 also for tokens that are not the client's: it learns nothing of them."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """Empty, or why the client was refused."""
        return _relay(*self.create_revocation_response(request)[1:])


class IntrospectView(ClientView):
    """What a client's own token says and whether it still counts (RFC 7662)."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """``{"active": false}`` for everything that is not a good token of this very client."""
        client = self._client(request)
        if client is None:
            return _challenged(refusal(401, "invalid_client", "A client must authenticate itself."))
        text = request.POST.get("token", "")
        if not text:
            return refusal(400, "invalid_request", "Missing token parameter.")
        now = timezone.now()
        return JsonResponse(_of_access(text, client, now) or _of_refresh(text, client, now) or {"active": False})

    def _client(self, request: HttpRequest) -> Application | None:
        core = self.get_oauthlib_core()
        asked = Asked(*core._extract_params(request))  # noqa: SLF001 (as the library does, which keeps the client)
        return asked.client if core.server.request_validator.authenticate_client(asked) else None


@method_decorator((csrf_exempt, never_cache), name="dispatch")
class UserInfoView(OAuthLibMixin, View):
    """Who consented, to a client with an access token of theirs (OpenID Connect Core, section 5.3)."""

    http_method_names = ["get", "post"]

    def get(self, request: HttpRequest) -> HttpResponse:
        """Claims by the token's scopes. A token in the address is refused: addresses are logged."""
        if request.GET:
            return refusal(400, "invalid_request", "The token belongs in the Authorization header.")
        return _relay(*self.create_userinfo_response(request)[1:])

    post = get


def _relay(headers: dict[str, str], body: str | None, status: int) -> HttpResponse:
    response = HttpResponse(body or "", status=status, headers=headers)
    if body:
        response.headers["Content-Type"] = "application/json"
    if status == 401 and '"invalid_client"' in (body or ""):
        return _challenged(response)
    return response


def _challenged(response: HttpResponse) -> HttpResponse:
    response.headers["WWW-Authenticate"] = 'Basic realm="oauth2", charset="UTF-8"'
    return response


def _of_access(text: str, client: Application, now: datetime) -> dict[str, Any] | None:
    try:
        claims = tokens.verified_claims(text, signing.published_keys(), now, type_=tokens.ACCESS_TYPE)
        found = selectors.find_access(tokens.verify_access_token(text, signing.published_keys(), signing.trust(), now))
    except InvalidCredential:
        return None
    if found.client_id != client.client_id:
        return None
    return {"active": True, "token_type": BEARER, **{name: claims[name] for name in claims if name != "tv"}}


def _of_refresh(text: str, client: Application, now: datetime) -> dict[str, Any] | None:
    checksum = hashlib.sha256(text.encode()).hexdigest()
    rows = RefreshToken.objects.filter(token_checksum=checksum, application=client, revoked=None)
    row = rows.select_related("user", "access_token").first()
    if row is None or row.access_token is None:
        return None
    ends_at = row.access_token.expires + refresh_token_expire_timedelta()
    if not row.user.is_active or version_of(text) != str(row.user.token_version) or ends_at <= now:
        return None
    return {
        "active": True,
        "token_type": "refresh_token",
        "client_id": client.client_id,
        "sub": str(row.user_id),
        "scope": row.access_token.scope,
        "exp": int(ends_at.timestamp()),
    }
