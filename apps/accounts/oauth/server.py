"""The protocol engine with the three grants that RFC 9700 leaves, and nothing else to switch on by mistake."""

from typing import Any

from oauthlib.oauth2 import AuthorizationEndpoint, ResourceEndpoint, RevocationEndpoint, TokenEndpoint
from oauthlib.oauth2.rfc6749.grant_types import ClientCredentialsGrant, RefreshTokenGrant
from oauthlib.oauth2.rfc6749.grant_types.authorization_code import code_challenge_method_s256
from oauthlib.oauth2.rfc6749.tokens import BearerToken
from oauthlib.openid import UserInfoEndpoint
from oauthlib.openid.connect.core.grant_types import AuthorizationCodeGrant


class Server(AuthorizationEndpoint, TokenEndpoint, ResourceEndpoint, RevocationEndpoint, UserInfoEndpoint):
    """Authorization code (with S256 alone), client credentials and refresh. The library makes it from the settings."""

    def __init__(
        self,
        request_validator: Any,
        token_expires_in: int | None = None,
        token_generator: Any = None,
        refresh_token_generator: Any = None,
        **_ignored: Any,
    ) -> None:
        bearer = BearerToken(request_validator, token_generator, token_expires_in, refresh_token_generator)
        code = AuthorizationCodeGrant(request_validator)
        code.proxy_target._code_challenge_methods = {"S256": code_challenge_method_s256}  # noqa: SLF001 (no other way)
        grants = {
            "authorization_code": code,
            "client_credentials": ClientCredentialsGrant(request_validator),
            "refresh_token": RefreshTokenGrant(request_validator),
        }
        AuthorizationEndpoint.__init__(
            self, default_response_type="code", response_types={"code": code}, default_token_type=bearer
        )
        TokenEndpoint.__init__(
            self, default_grant_type="authorization_code", grant_types=grants, default_token_type=bearer
        )
        ResourceEndpoint.__init__(self, default_token="Bearer", token_types={"Bearer": bearer})  # noqa: S106 (a type)
        RevocationEndpoint.__init__(self, request_validator)
        UserInfoEndpoint.__init__(self, request_validator)
