"""Addresses of the authorization server. The namespace and names are the library's, which looks itself up by them."""

from django.urls import path

from apps.accounts.oauth import discovery
from apps.accounts.oauth.authorize import AuthorizeView
from apps.accounts.oauth.endpoints import IntrospectView, RevokeView, TokenView, UserInfoView
from apps.accounts.oauth.logout import LogoutView
from apps.core.http.pages import page
from apps.core.http.permissions import ANYONE, BROWSER, CLIENT, declare

app_name = "oauth2_provider"
urlpatterns = [
    path("oauth2/authorize", declare(BROWSER, AuthorizeView.as_view()), name="authorize"),
    path("oauth2/token", declare(CLIENT, TokenView.as_view()), name="token"),
    path("oauth2/revoke", declare(CLIENT, RevokeView.as_view()), name="revoke-token"),
    path("oauth2/introspect", declare(CLIENT, IntrospectView.as_view()), name="introspect"),
    path("oauth2/userinfo", declare(CLIENT, UserInfoView.as_view()), name="user-info"),
    path("oauth2/logout", page("GET", "POST")(LogoutView.as_view()), name="rp-initiated-logout"),
    path("oauth2/jwks", declare(ANYONE, discovery.jwks), name="jwks-info"),
    path(".well-known/jwks.json", declare(ANYONE, discovery.jwks), name="jwks-well-known"),
    path(
        ".well-known/openid-configuration",
        declare(ANYONE, discovery.openid_configuration),
        name="oidc-connect-discovery-info",
    ),
    path(
        ".well-known/oauth-authorization-server",
        declare(ANYONE, discovery.authorization_server),
        name="oauth-server-metadata",
    ),
]
