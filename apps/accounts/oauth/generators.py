"""The texts of tokens."""

import secrets
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.utils import timezone

from apps.accounts import signing
from apps.accounts.models import User

CLIENT_CREDENTIALS = "client_credentials"
SECRET_BYTES = 32


def access_token(request: Any) -> str:
    """An RFC 9068 token for what ``request`` (oauthlib's) was granted, signed by the present key."""
    user = holder(request)
    now = int(timezone.now().timestamp())
    return signing.sign(
        {
            "iss": settings.PUBLIC_URL,
            "sub": str(user.pk),
            "aud": settings.TOKEN_AUDIENCE,
            "exp": now + settings.TOKEN_SECONDS,
            "iat": now,
            "jti": uuid4().hex,
            "tv": user.token_version,
            "client_id": request.client.client_id,
            "scope": " ".join(request.scopes),
        }
    )


def refresh_token(request: Any) -> str:
    """A random text that ends in the user's token version: who raises it ends this token, too."""
    return f"{secrets.token_urlsafe(SECRET_BYTES)}.{holder(request).token_version}"


def version_of(text: str) -> str:
    """The token version that a refresh token was made under, as digits. The token's checksum covers it."""
    return text.rpartition(".")[2]


def holder(request: Any) -> User:
    """Whom the token is for: the user who consented, or the client's own account."""
    user: User = request.client.user if request.grant_type == CLIENT_CREDENTIALS else request.user
    return user
