"""First-party tokens: simplejwt's token classes over our own signing, which knows key ids, types and rotation.

An access token is what ``tokens`` verifies everywhere. A refresh token is of another type (``rt+jwt``) and for us alone
(``aud`` is the issuer), and only the newest of a session is good.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from apps.accounts import signing
from apps.accounts.models import Session, User
from apps.accounts.selectors import roles_of
from apps.accounts.tokens import ACCESS_TYPE, ALGORITHM, verified_claims
from apps.core.errors import InvalidCredential

REFRESH_TYPE = "rt+jwt"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What somebody who signed in goes away with. ``refresh`` is "" where their old one stays good."""

    user: User
    roles: tuple[str, ...]
    access: str
    expires_at: datetime
    refresh: str


class Signing(TokenBackend):
    """Encodes and decodes with our keys. The type (``typ``) is moved between claims and header."""

    def __init__(self, type_: str) -> None:
        super().__init__(ALGORITHM)
        self.type = type_

    def encode(self, payload: dict[str, Any]) -> str:
        """A signed JWT."""
        return signing.sign({name: value for name, value in payload.items() if name != "typ"}, type_=self.type)

    def decode(self, token: Any, verify: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002, ARG002 (simplejwt's)
        """The claims; always verified.

        Raises:
            TokenBackendError: not one of ours, of another type, or not in force.
        """
        try:
            claims = verified_claims(str(token), signing.published_keys(), datetime.now(UTC), type_=self.type)
        except InvalidCredential as error:
            raise TokenBackendError("token is invalid") from error
        return claims | {"typ": self.type}


class Access(AccessToken):
    """An hour of calls."""

    token_type = ACCESS_TYPE
    _token_backend = Signing(ACCESS_TYPE)


class Refresh(RefreshToken):
    """A token for the next access token."""

    token_type = REFRESH_TYPE
    _token_backend = Signing(REFRESH_TYPE)


def new_refresh(user: User) -> Refresh:
    """A refresh token, not yet of a session: see :func:`signed_in`."""
    token = Refresh()
    token["sub"] = str(user.pk)
    token["iss"] = token["aud"] = settings.TOKEN_ISSUER
    return token


def signed_in(user: User, session: Session, refresh: Refresh | None) -> SignedIn:
    """The tokens of a user's session; their version and roles as they are now."""
    access = Access()
    roles = roles_of(user.pk)
    claims = {"iss": settings.TOKEN_ISSUER, "aud": settings.TOKEN_AUDIENCE, "tv": user.token_version}
    access.payload.update(claims, sub=str(user.pk), sid=str(session.pk), roles=list(roles))
    if refresh is not None:
        refresh["sid"] = str(session.pk)
    until = datetime.fromtimestamp(access["exp"], UTC)
    return SignedIn(user, roles, str(access), until, "" if refresh is None else str(refresh))
