"""What the protocol engine asks of us: the library's answers, made stricter where RFC 9700 or our tokens want it."""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.hashers import check_password
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from jwcrypto.jwk import JWK
from oauth2_provider.models import AccessToken, RefreshToken
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauth2_provider.settings import oauth2_settings
from oauthlib.oauth2.rfc6749 import errors

from apps.accounts import selectors, signing, tokens
from apps.accounts.models import Application, Grant, User
from apps.accounts.oauth import scopes
from apps.accounts.oauth.generators import CLIENT_CREDENTIALS, version_of
from apps.config.api import CREDENTIALS, touch
from apps.core.errors import InvalidCredential

AUTHORIZATION_CODE, REFRESH = "authorization_code", "refresh_token"
ID_TOKEN_TYPE = "JWT"  # noqa: S105 (a media type)

CODE_LIFE = timedelta(seconds=oauth2_settings.AUTHORIZATION_CODE_EXPIRE_SECONDS)

Claim = Callable[[Any], object]


class Validator(OAuth2Validator):
    """Every method runs inside the transaction of its request (see ``endpoints``)."""

    # Clients

    def _check_secret(self, provided_secret: str, stored_secret: str) -> bool:
        """An empty secret opens nothing, whatever is stored."""
        return bool(provided_secret) and check_password(provided_secret, stored_secret)

    def validate_grant_type(
        self, client_id: str, grant_type: str, client: Application, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        """A client without an account, or with an inactive one, cannot act for it."""
        if grant_type == CLIENT_CREDENTIALS and not (client.user and client.user.is_active):
            return False
        return bool(super().validate_grant_type(client_id, grant_type, client, request, *args, **kwargs))

    def validate_response_type(
        self, client_id: str, response_type: str, client: Application, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        """``code``; no client may do anything else.

        Raises:
            UnsupportedResponseTypeError: another one was asked for.
        """
        if response_type != "code":
            raise errors.UnsupportedResponseTypeError(request=request)
        return bool(client.allows_grant_type(Application.GRANT_AUTHORIZATION_CODE))

    def validate_silent_login(self, request: Any) -> bool:
        """Decided in the view, which knows the browser."""
        return True

    def validate_silent_authorization(self, request: Any) -> bool:
        """Decided in the view, too."""
        return True

    # Codes

    def _create_authorization_code(self, request: Any, code: dict[str, str], expires: datetime | None = None) -> Grant:
        grant = Grant(
            application=request.client,
            user=request.user,
            code=code["code"],
            expires=expires or timezone.now() + CODE_LIFE,
            redirect_uri=request.redirect_uri,
            scope=" ".join(request.scopes),
            code_challenge=request.code_challenge,
            code_challenge_method=request.code_challenge_method,
            nonce=request.nonce or "",
            signed_in_at=request.signed_in_at,
            token_version=request.user.token_version,
        )
        grant.save(force_insert=True)
        return grant

    def validate_code(
        self, client_id: str, code: str, client: Application, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        """Whether the code is this client's, young, unspent, and its user still who they were.

        The row lock makes exchanges of one code take turns, so that a second one always finds it spent.
        """
        grant = Grant.objects.select_for_update(of=("self",)).select_related("user").filter(code=code).first()
        if grant is None:
            return False
        if grant.spent_at is not None:
            _end_what_it_gave(grant)
            return False
        if not grant.user.is_active or grant.user.token_version != grant.token_version:
            return False
        request.grant = grant
        return bool(super().validate_code(client_id, code, client, request, *args, **kwargs))

    def confirm_redirect_uri(
        self, client_id: str, code: str, redirect_uri: str, client: Application, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        """Whether the code was sent there.

        Raises:
            InvalidGrantError: it was not (RFC 6749, section 5.2).
        """
        if not super().confirm_redirect_uri(client_id, code, redirect_uri, client, *args, **kwargs):
            raise errors.InvalidGrantError(request=request)
        return True

    def invalidate_authorization_code(self, client_id: str, code: str, request: Any, *args: Any, **kwargs: Any) -> None:
        """Spent, and kept with what it gave."""
        checksum = request.access_checksum
        family = RefreshToken.objects.filter(access_token__token_checksum=checksum).values("token_family")
        Grant.objects.filter(pk=request.grant.pk).update(
            spent_at=timezone.now(), access_checksum=checksum, family=family[:1]
        )

    # Tokens

    def _save_bearer_token(self, token: dict[str, Any], request: Any, *args: Any, **kwargs: Any) -> None:
        if request.grant_type == AUTHORIZATION_CODE and scopes.OFFLINE not in request.scopes:
            token.pop("refresh_token", None)
        request.access_checksum = _checksum(token["access_token"])
        super()._save_bearer_token(token, request, *args, **kwargs)
        if request.grant_type == REFRESH:
            touch(CREDENTIALS, f"user:{request.user.pk}")  # The access token before this one has ended.

    def validate_refresh_token(
        self, refresh_token: str, client: Application, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        """Whether it is this client's, unused, and its user still who they were.

        A used one is a copy in somebody else's hands: all of its family end. The row lock makes two uses take turns.
        """
        row = _locked_refresh_token(refresh_token)
        if row is None or row.application_id != client.pk:
            return False
        if not row.user.is_active or version_of(refresh_token) != str(row.user.token_version):
            return False
        if row.revoked is not None and _lives(row.token_family):
            touch(CREDENTIALS, f"user:{row.user_id}")
        return bool(super().validate_refresh_token(refresh_token, client, request, *args, **kwargs))

    def get_original_scopes(self, refresh_token: str, request: Any, *args: Any, **kwargs: Any) -> list[str]:
        """What was consented to, as far as the client may still ask for it."""
        consented = super().get_original_scopes(refresh_token, request, *args, **kwargs)
        allowed = set(scopes.available(request.client))
        return [scope for scope in consented.split() if scope in allowed]

    def revoke_token(self, token: str, token_type_hint: str, request: Any, *args: Any, **kwargs: Any) -> None:
        """The client's own token, and what belongs to it; every gateway forgets it."""
        super().revoke_token(token, token_type_hint, request, *args, **kwargs)
        touch(CREDENTIALS, f"client:{request.client.client_id}")

    def validate_bearer_token(self, token: str | None, scopes: list[str], request: Any) -> bool:
        """Whether an access token works at our own endpoints: by the same look-up as everywhere else."""
        try:
            selectors.find_access(
                tokens.verify_access_token(token or "", signing.published_keys(), signing.trust(), timezone.now())
            )
        except InvalidCredential:
            return False
        return bool(super().validate_bearer_token(token, scopes, request))

    # OpenID Connect

    def get_additional_claims(self) -> dict[str, Claim]:
        """Claims about the person, beside ``sub``. The library looks at the arity: the same for all requests."""
        return {
            "name": lambda request: request.user.get_full_name() or request.user.get_username(),
            "given_name": lambda request: request.user.first_name,
            "family_name": lambda request: request.user.last_name,
            "preferred_username": lambda request: request.user.get_username(),
            "email": lambda request: request.user.email,
            "email_verified": lambda request: request.user.email_verified_at is not None,
        }

    def get_id_token_dictionary(
        self, token: dict[str, Any], token_handler: Any, request: Any
    ) -> tuple[dict[str, Any], datetime]:
        """The claims, with the time of the sign-in in *this* browser, and when they end."""
        claims, expires = super().get_id_token_dictionary(token, token_handler, request)
        return claims | {"auth_time": int(request.grant.signed_in_at.timestamp())}, expires

    def finalize_id_token(
        self, id_token: dict[str, Any], token: dict[str, Any], token_handler: Any, request: Any
    ) -> str:
        """The ID token, signed by the key that signs all our tokens now."""
        claims, expires = self.get_id_token_dictionary(token, token_handler, request)
        id_token.update(claims)
        if not id_token.get("nonce"):
            id_token.pop("nonce", None)
        request.id_token = self._save_id_token(id_token["jti"], request, expires)
        return signing.sign(id_token, type_=ID_TOKEN_TYPE)

    def _get_key_for_token(self, token: str) -> JWK | None:
        """The published key that says to have signed ``token``, for the library's verifiers."""
        kid = tokens.key_id(token)
        jwk = next((jwk for jwk in signing.published_jwks() if jwk["kid"] == kid), None)
        return JWK(**jwk) if jwk else None


def _end_what_it_gave(grant: Grant) -> None:
    """A code that is used twice was stolen before or after its first use: nothing of it may live."""
    RefreshToken.revoke_family(grant.family)
    AccessToken.objects.filter(token_checksum=grant.access_checksum).delete()
    touch(CREDENTIALS, f"user:{grant.user_id}")


def _locked_refresh_token(text: str) -> RefreshToken | None:
    rows = RefreshToken.objects.select_for_update(of=("self",)).select_related("user")
    return rows.filter(token_checksum=_checksum(text)).order_by(F("revoked").desc(nulls_first=True)).first()


def _lives(family: UUID | None) -> bool:
    return family is not None and RefreshToken.objects.filter(token_family=family, revoked=None).exists()


def end_tokens(client: Application, user: User | None) -> None:
    """End all tokens that ``client`` has of ``user``; None: its own."""
    with transaction.atomic():
        RefreshToken.objects.filter(application=client, user=user, revoked=None).update(
            revoked=timezone.now(), access_token=None
        )
        AccessToken.objects.filter(application=client, user=user).delete()
        touch(CREDENTIALS, f"user:{user.pk}" if user else f"client:{client.client_id}")


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
