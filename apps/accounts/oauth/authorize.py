"""The authorization endpoint: a person, in a browser, decides what a client may do for them.

Whatever is refused before the client and its address are known ends on a page here; all else goes back to the client,
with ``iss`` (RFC 9207). What was asked stays in the address through sign-in and consent, and is checked each time.
"""

from datetime import datetime, timedelta
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, QueryDict
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.generic import View
from django.views.generic.base import TemplateResponseMixin
from oauth2_provider.exceptions import FatalClientError, OAuthToolkitError
from oauth2_provider.http import OAuth2ResponseRedirect
from oauth2_provider.models import AccessToken
from oauth2_provider.views.mixins import OAuthLibMixin
from oauthlib.common import add_params_to_uri
from oauthlib.oauth2.rfc6749.errors import AccessDeniedError, InvalidRequestFatalError, OAuth2Error
from oauthlib.openid.connect.core.exceptions import ConsentRequired, LoginRequired

from apps.accounts import signing, tokens
from apps.accounts.browser import SESSION_ID
from apps.accounts.models import Application, User
from apps.accounts.oauth import wishes
from apps.accounts.oauth.forms import ConsentForm
from apps.accounts.oauth.scopes import EVERY_SCOPE
from apps.accounts.oauth.validator import ID_TOKEN_TYPE
from apps.accounts.selectors import database_now, signed_in_at
from apps.core.errors import InvalidCredential
from apps.core.http.redirects import forms_may_lead_to


class SeeOther(OAuth2ResponseRedirect):
    """303: the browser asks for the address with GET, also after a form, and takes no form along (RFC 9700, 4.12)."""

    status_code = 303


@method_decorator((csrf_exempt, never_cache), name="dispatch")
class AuthorizeView(OAuthLibMixin, TemplateResponseMixin, View):
    """Sign in if need be, consent if need be, then back with a code."""

    http_method_names = ["get", "post"]
    template_name = "oauth2_provider/authorize.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        """The consent page, or the way to the sign-in page, or back to the client."""
        return self._answer(request, None)

    def post(self, request: HttpRequest) -> HttpResponse:
        """The person's decision; or a request in a form, as OpenID Connect allows, which goes on as an address."""
        if "client_id" in request.POST:
            return _see(f"{request.path}?{request.POST.urlencode()}")
        return csrf_protect(AuthorizeView._decide)(request, self)

    @staticmethod
    def _decide(request: HttpRequest, view: "AuthorizeView") -> HttpResponse:
        return view._answer(request, request.POST.get("allow") == "true")  # noqa: SLF001 (csrf_protect wants a function)

    def _answer(self, request: HttpRequest, decision: bool | None) -> HttpResponse:  # noqa: FBT001 (None: not yet)
        try:
            scopes, asked = self._asked(request)
            return self._go_on(request, scopes, asked, decision)
        except OAuthToolkitError as refusal:
            return self._refuse(refusal)
        except OAuth2Error as refusal:
            return self._refuse(OAuthToolkitError(error=refusal))

    def _asked(self, request: HttpRequest) -> tuple[list[str], dict[str, Any]]:
        if any("\0" in text for _name, values in request.GET.lists() for text in values):
            raise _unreadable()
        try:
            return cast("tuple[list[str], dict[str, Any]]", self.validate_authorization_request(request))
        except ValueError as error:  # oauthlib's for an address that is not well encoded
            raise _unreadable() from error

    def _go_on(
        self,
        request: HttpRequest,
        scopes: list[str],
        asked: dict[str, Any],
        decision: bool | None,  # noqa: FBT001
    ) -> HttpResponse:
        wish = wishes.read(request.GET, asked["request"])
        if must_sign_in(request, wish):
            if wish.silent:
                raise LoginRequired(request=asked["request"])
            return _see(way_to_sign_in(request, database_now()))
        insist_on_hinted_person(request, asked["request"])
        client: Application = asked["request"].client
        if decision is None and (wish.asks_consent or not allowed_before(cast("User", request.user), client, scopes)):
            if wish.silent:
                raise ConsentRequired(request=asked["request"])
            consent = self.render_to_response(page(request, client, scopes, asked["redirect_uri"]))
            forms_may_lead_to(consent, asked["redirect_uri"])
            return consent
        if decision is False:
            raise AccessDeniedError(request=asked["request"])
        return self._hand_out(request, scopes, asked)

    @transaction.atomic
    def _hand_out(self, request: HttpRequest, scopes: list[str], asked: dict[str, Any]) -> HttpResponse:
        asked["signed_in_at"] = signed_in_at(cast("User", request.user), request.session.get(SESSION_ID, ""))
        uri, *_rest = self.create_authorization_response(request, " ".join(scopes), asked, allow=True)
        return SeeOther(with_issuer(uri), asked["request"].client.get_allowed_schemes())

    def _refuse(self, refusal: OAuthToolkitError) -> HttpResponse:
        error = refusal.oauthlib_error
        if isinstance(refusal, FatalClientError) or not error.redirect_uri:
            return self.render_to_response({"error": error}, status=400)
        client = Application.objects.get(client_id=error.client_id)
        uri = add_params_to_uri(error.redirect_uri, error.twotuples)
        return SeeOther(with_issuer(uri), client.get_allowed_schemes())


def must_sign_in(request: HttpRequest, wish: wishes.Wish) -> bool:
    """Whether nobody is signed in here, or not lately enough for the client."""
    if not request.user.is_authenticated:
        return True
    return wish.sign_in_again(signed_in_at(request.user, request.session.get(SESSION_ID, "")), database_now())


def way_to_sign_in(request: HttpRequest, now: datetime) -> str:
    """The sign-in page, and from there back to this very request, which then is content with the new sign-in."""
    back = QueryDict(mutable=True)
    back.update(request.GET)
    for name in ("prompt", "max_age", wishes.SIGNED_IN_SINCE):
        back.pop(name, None)
    if "consent" in request.GET.get("prompt", "").split():
        back["prompt"] = "consent"
    if request.user.is_authenticated:
        back[wishes.SIGNED_IN_SINCE] = str(int(now.timestamp()))
    query = {"next": f"{request.path}?{back.urlencode()}"}
    if hint := request.GET.get("login_hint"):
        query["login_hint"] = hint
    return f"{settings.LOGIN_URL}?{urlencode(query)}"


def insist_on_hinted_person(request: HttpRequest, asked: Any) -> None:
    """Whom an ``id_token_hint`` names must be who is signed in.

    Raises:
        LoginRequired: it is somebody else, or the hint is none of our ID tokens.
    """
    hint = request.GET.get("id_token_hint")
    if hint and hinted_person(hint) != str(request.user.pk):
        raise LoginRequired(description="Somebody else is signed in.", request=asked)


def hinted_person(hint: str) -> str:
    """The subject of an ID token of ours, expired or not; "" if it is none."""
    try:
        claims = tokens.signed_claims(hint, signing.published_keys(), timezone.now(), type_=ID_TOKEN_TYPE)
    except InvalidCredential:
        return ""
    return str(claims.get("sub", "")) if claims.get("iss") == settings.PUBLIC_URL else ""


def allowed_before(user: User, client: Application, scopes: list[str]) -> bool:
    """Whether a token still stands by which ``user`` lets ``client`` do as much, or more."""
    now = timezone.now()
    refreshable = Q(refresh_token__revoked=None, expires__gt=now - timedelta(days=settings.REFRESH_DAYS))
    standing = AccessToken.objects.filter(Q(expires__gt=now) | Q(refresh_token__isnull=False) & refreshable)
    return any(token.allow_scopes(scopes) for token in standing.filter(user=user, application=client))


def page(request: HttpRequest, client: Application, scopes: list[str], redirect_uri: str) -> dict[str, Any]:
    """What the consent page says."""
    return {
        "application": client,
        "form": ConsentForm(),
        "redirect_host": urlsplit(redirect_uri).hostname,
        "redirect_uri": redirect_uri,
        "request": request,
        "scopes": scopes,
        "scopes_descriptions": [EVERY_SCOPE[scope] for scope in scopes],
    }


def with_issuer(uri: str) -> str:
    """An answer's address that says whose answer it is."""
    parameters = QueryDict(urlsplit(uri).query)
    return uri if "iss" in parameters else str(add_params_to_uri(uri, [("iss", settings.PUBLIC_URL)]))


def _see(path: str) -> HttpResponse:
    return HttpResponse(status=303, headers={"Location": path})


def _unreadable() -> FatalClientError:
    return FatalClientError(error=InvalidRequestFatalError(description="The address cannot be read."))
