"""Sign-out that a client asks for (OpenID Connect RP-Initiated Logout)."""

from typing import Any

from django.conf import settings
from django.http import HttpResponse
from oauth2_provider.exceptions import InvalidOIDCClientError
from oauth2_provider.models import IDToken
from oauth2_provider.views import RPInitiatedLogoutView
from oauthlib.common import add_params_to_uri

from apps.accounts import browser
from apps.accounts.models import Application, User
from apps.accounts.oauth.authorize import SeeOther
from apps.accounts.oauth.validator import end_tokens
from apps.core.http.redirects import forms_may_lead_to


class LogoutView(RPInitiatedLogoutView):
    """Ends the browser's session, and the asking client's tokens of that person; other clients keep theirs.

    Without an ID token of the person who is signed in, that person is asked first.
    """

    def get_request_application(self, id_token: IDToken | None, client_id: str | None) -> Application | None:
        """The client that asks, if it says who it is.

        Raises:
            InvalidOIDCClientError: there is none of this id.
        """
        if not client_id:
            return _registered(id_token)
        found: Application | None = (
            None if "\0" in client_id else Application.objects.filter(client_id=client_id).first()
        )
        if found is None:
            raise InvalidOIDCClientError
        return found

    def render_to_response(self, context: dict[str, Any], **response_kwargs: Any) -> HttpResponse:
        """The question, whose answer may lead back to the client; or why it cannot be asked."""
        response: HttpResponse = super().render_to_response(context, **response_kwargs)
        if back := self.oidc_data.get("post_logout_redirect_uri"):
            forms_may_lead_to(response, back)
        return response

    def do_logout(
        self,
        application: Application | None = None,
        post_logout_redirect_uri: str | None = None,
        state: str | None = None,
        token_user: User | None = None,
    ) -> HttpResponse:
        """The session ends; then to the address that the client registered, or to our sign-in page."""
        user = token_user or (self.request.user if self.request.user.is_authenticated else None)
        if application and user:
            end_tokens(application, user)
        browser.finish(self.request)
        if not (application and post_logout_redirect_uri):
            return HttpResponse(status=303, headers={"Location": settings.LOGIN_URL})
        parameters: list[tuple[str, Any]] = [("state", state)] if state else []
        return SeeOther(add_params_to_uri(post_logout_redirect_uri, parameters), application.get_allowed_schemes())


def _registered(id_token: IDToken | None) -> Application | None:
    """The client that the token was made for."""
    return None if id_token is None else Application.objects.filter(pk=id_token.application_id).first()
