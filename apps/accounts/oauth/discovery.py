"""What clients and gateways find out by themselves: the metadata documents, and the keys that verify our tokens."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from apps.accounts import signing, tokens
from apps.accounts.oauth.scopes import EVERY_SCOPE

MAX_AGE_SECONDS = 600
"""How long the documents may be kept. A key is published long before it signs, so a kept list misses none."""

CLIENT_AUTHENTICATION = ["client_secret_basic", "client_secret_post"]
CLAIMS = [
    "sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "name", "given_name", "family_name",
    "preferred_username", "email", "email_verified",
]  # fmt: skip


@require_safe
def authorization_server(_request: HttpRequest) -> JsonResponse:
    """OAuth 2.0 authorization server metadata (RFC 8414)."""
    return _public(_server())


@require_safe
def openid_configuration(_request: HttpRequest) -> JsonResponse:
    """OpenID Provider metadata (OpenID Connect Discovery, section 3)."""
    return _public(_server() | _provider())


@require_safe
def jwks(_request: HttpRequest) -> JsonResponse:
    """The published keys (RFC 7517). The first key is made when somebody asks."""
    signing.signing_key()
    return _public({"keys": signing.published_jwks()})


def _server() -> dict[str, Any]:
    return {
        "issuer": settings.PUBLIC_URL,
        "authorization_endpoint": _address("authorize"),
        "token_endpoint": _address("token"),
        "revocation_endpoint": _address("revoke-token"),
        "introspection_endpoint": _address("introspect"),
        "jwks_uri": _address("jwks-info"),
        "scopes_supported": list(EVERY_SCOPE),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": [*CLIENT_AUTHENTICATION, "none"],
        "revocation_endpoint_auth_methods_supported": [*CLIENT_AUTHENTICATION, "none"],
        "introspection_endpoint_auth_methods_supported": CLIENT_AUTHENTICATION,
        "authorization_response_iss_parameter_supported": True,
    }


def _provider() -> dict[str, Any]:
    return {
        "userinfo_endpoint": _address("user-info"),
        "end_session_endpoint": _address("rp-initiated-logout"),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [tokens.ALGORITHM],
        "claims_supported": CLAIMS,
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }


def _address(name: str) -> str:
    return f"{settings.PUBLIC_URL}{reverse(f'oauth2_provider:{name}')}"


def _public(document: dict[str, Any]) -> JsonResponse:
    """For everybody, scripts of other origins included."""
    headers = {"Access-Control-Allow-Origin": "*", "Cache-Control": f"public, max-age={MAX_AGE_SECONDS}"}
    return JsonResponse(document, headers=headers)
