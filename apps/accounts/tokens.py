"""Access tokens: what we write into them, and how they are verified without a store. Pure.

Both kinds are RFC 9068 JWTs (``typ: at+jwt``, RS256): first-party ones of the issuer ``LEAKY_TOKEN_ISSUER`` and OAuth2
ones of the issuer ``LEAKY_PUBLIC_URL``. Exactly one algorithm, a key by its id from what we publish, and nothing in the
header beside ``alg``, ``typ`` and ``kid``: no header can make us fetch or trust another key (RFC 8725).
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from apps.accounts.domain import AccessClaims
from apps.core.errors import InvalidCredential
from apps.core.http.caller import ALL_SCOPES, JWT, OAUTH2, TOKENS_PURCHASE, TOKENS_READ

ALGORITHM = "RS256"
ACCESS_TYPE = "at+jwt"
LONGEST = 8192
"""Characters of a token; a longer one is refused unread."""

CLOCK_SECONDS = 30
"""How far ahead of ours the clock of another of our processes may be (``iat``); ``exp`` and ``nbf`` get nothing."""

ALIASES = {"tokens.read": TOKENS_READ, "tokens.write": TOKENS_PURCHASE}
"""Scopes of the original system, and what they mean here."""

_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HEADER = {"alg", "typ", "kid"}


@dataclass(frozen=True, slots=True)
class Trust:
    """Which tokens count: the two issuers, and the audience that must be named."""

    first_party_issuer: str
    oauth_issuer: str
    audience: str


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """A public key that tokens may be signed with, until ``until`` (None: no end in sight)."""

    kid: str
    key: RSAKey
    until: datetime | None


def sign(claims: Mapping[str, Any], key: RSAKey, *, type_: str = ACCESS_TYPE) -> str:
    """A JWT of these claims."""
    header = {"alg": ALGORITHM, "typ": type_, "kid": str(key.kid)}
    return jwt.encode(header, dict(claims), key, algorithms=[ALGORITHM])


def verify_access_token(text: str, keys: Mapping[str, PublishedKey], trust: Trust, now: datetime) -> AccessClaims:
    """What a token says, if one of our keys signed it, it is an access token for us, and it is in force at ``now``.

    Whether its user, session or client still stands is not known here.

    Raises:
        InvalidCredential: anything else; the error does not say what.
    """
    claims = verified_claims(text, keys, now, type_=ACCESS_TYPE)
    try:
        return _access(text, claims, trust)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InvalidCredential from error


def verified_claims(text: str, keys: Mapping[str, PublishedKey], now: datetime, *, type_: str) -> dict[str, Any]:
    """The claims of a JWT of ours of this ``typ`` that is in force at ``now``.

    Raises:
        InvalidCredential: not signed by a published key, of another type, expired, not yet valid, or malformed.
    """
    if len(text) > LONGEST:
        raise InvalidCredential
    try:
        header = jws.extract_compact(text.encode()).headers()
        key = _key(header, keys, now, type_)
        claims = jwt.decode(text, key, algorithms=[ALGORITHM]).claims
        _insist_on_time(claims, now)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidCredential from error
    return claims


def scopes_of(text: str) -> frozenset[str]:
    """The scopes that mean something here, of a space-separated list; those of the original by our names."""
    return frozenset(ALIASES.get(scope, scope) for scope in text.split()) & ALL_SCOPES


def _key(header: dict[str, Any], keys: Mapping[str, PublishedKey], now: datetime, type_: str) -> RSAKey:
    kid = header["kid"]
    if set(header) != _HEADER or header["alg"] != ALGORITHM or header["typ"] != type_:
        raise ValueError("header")
    if not isinstance(kid, str) or not _KEY_ID.fullmatch(kid):
        raise ValueError("kid")
    published = keys[kid]
    if published.until is not None and published.until <= now:
        raise ValueError("retired key")
    return published.key


def _insist_on_time(claims: dict[str, Any], now: datetime) -> None:
    second = now.timestamp()
    if _whole(claims["exp"]) <= second or _whole(claims.get("nbf", 0)) > second:
        raise ValueError("not in force")
    if _whole(claims["iat"]) > second + CLOCK_SECONDS:
        raise ValueError("issued in the future")


def _access(text: str, claims: dict[str, Any], trust: Trust) -> AccessClaims:
    kind = _kind(claims["iss"], trust)
    audience = claims["aud"]
    if trust.audience not in (audience if isinstance(audience, list) else [audience]):
        raise ValueError("audience")
    return AccessClaims(
        kind=kind,
        subject=UUID(_text(claims["sub"])),
        token_version=_whole(claims["tv"]),
        expires_at=datetime.fromtimestamp(_whole(claims["exp"]), UTC),
        scopes=ALL_SCOPES if kind == JWT else scopes_of(_text(claims["scope"])),
        checksum=hashlib.sha256(text.encode()).hexdigest(),
        jti=_text(claims["jti"]),
        session_id=_text(claims["sid"]) if kind == JWT else "",
        client_id=_text(claims["client_id"]) if kind == OAUTH2 else "",
    )


def _kind(issuer: object, trust: Trust) -> str:
    if issuer == trust.first_party_issuer:
        return JWT
    if issuer == trust.oauth_issuer:
        return OAUTH2
    raise ValueError("issuer")


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("not a whole number")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
