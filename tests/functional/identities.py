"""Access tokens of users, sessions and clients of a test's own, as the token endpoints issue them."""

import hashlib
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.utils import timezone
from oauth2_provider.models import AccessToken

from apps.accounts import signing
from apps.accounts.models import Application, Session, User

HOUR = timedelta(hours=1)


def first_party_claims(user_id: UUID) -> dict[str, Any]:
    """Claims of a token of a session that is opened here."""
    user = User.objects.get(pk=user_id)
    session = Session.objects.create(user=user, kind=Session.Kind.API, expires_at=timezone.now() + HOUR)
    return {**_usual(user), "iss": signing.trust().first_party_issuer, "sid": str(session.pk), "roles": ["USER"]}


def access_token(user_id: UUID) -> str:
    """A first-party token in force."""
    return signing.sign(first_party_claims(user_id))


def client_token(user_id: UUID, scope: str, issuer: str) -> tuple[str, Application]:
    """A token that a new OAuth2 client got for itself, and the client. ``issuer`` is where the system is reached."""
    user = User.objects.get(pk=user_id)
    client = Application.objects.create(
        name=f"client-{uuid4().hex[:12]}", user=user, client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS, allowed_scopes=scope.split(),
    )  # fmt: skip
    text = signing.sign({**_usual(user), "iss": issuer, "client_id": client.client_id, "scope": scope})
    AccessToken.objects.create(
        user=user, application=client, token=text, token_checksum=hashlib.sha256(text.encode()).hexdigest(),
        expires=timezone.now() + HOUR, scope=scope,
    )  # fmt: skip
    return text, client


def _usual(user: User) -> dict[str, Any]:
    now = int(timezone.now().timestamp())
    return {
        "sub": str(user.pk), "aud": signing.trust().audience, "iat": now, "exp": now + 3600, "jti": uuid4().hex,
        "tv": user.token_version,
    }  # fmt: skip
