"""The 30-second token with which the gateway vouches for a caller to a service (DESIGN.md, section 2).

A JWS with ``typ: int+jwt``, signed with Ed25519: the gateway alone holds the private key, services hold public ones.
``aud`` is the service, ``sub`` the user's id (empty: nobody is signed in). Source: RFC 7519, RFC 8037, RFC 9864.
"""

import base64
import binascii
import time
from collections.abc import Iterable, Sequence
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from apps.core.errors import ConfigurationError, InvalidCredential
from apps.core.http.caller import Caller

HEADER = "X-Leaky-Identity"
"""The request header that carries it, between gateway and services only."""

TYPE, ALGORITHM, ISSUER = "int+jwt", "Ed25519", "leaky-gateway"
LIFETIME_SECONDS = 30
LEEWAY_SECONDS = 5
_SEED_BYTES = 32


def signing_key(seed: str) -> OKPKey:
    """The gateway's key from 32 bytes in base64.

    Raises:
        ConfigurationError: it is not that.
    """
    private = Ed25519PrivateKey.from_private_bytes(_decoded(seed))
    return OKPKey.import_key(private)


def public_key_of(seed: str) -> str:
    """What services need to know of the key: the public half, in base64."""
    public = Ed25519PrivateKey.from_private_bytes(_decoded(seed)).public_key()
    return base64.b64encode(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def verification_keys(public: Iterable[str]) -> list[OKPKey]:
    """Services' keys from their base64; several while one replaces another.

    Raises:
        ConfigurationError: one is malformed.
    """
    return [
        OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": _url_safe(_decoded(encoded))}) for encoded in public
    ]


def issue(caller: Caller, service: str, key: OKPKey, request_id: str) -> str:
    """A token that vouches for ``caller`` to ``service``, for half a minute."""
    now = int(time.time())
    claims = {
        "iss": ISSUER, "aud": service, "iat": now, "exp": now + LIFETIME_SECONDS, "jti": request_id,
        "sub": str(caller.user_id or ""), "kind": caller.kind, "roles": list(caller.roles),
        "scope": " ".join(sorted(caller.scopes)), "cid": caller.credential_id, "client_id": caller.client_id,
        "org": str(caller.org_id or ""), "ip": caller.ip,
    }  # fmt: skip
    return jwt.encode({"alg": ALGORITHM, "typ": TYPE}, claims, key, algorithms=[ALGORITHM])


def verify(text: str, keys: Sequence[OKPKey], services: Iterable[str]) -> Caller:
    """The caller for whom the gateway vouches to one of ``services``.

    Raises:
        InvalidCredential: not signed by the gateway, not for us, expired, or malformed.
    """
    for key in keys:
        try:
            token = jwt.decode(text, key, algorithms=[ALGORITHM])
        except (JoseError, ValueError):
            continue
        return _checked(token, services)
    raise InvalidCredential


def _checked(token: jwt.Token, services: Iterable[str]) -> Caller:
    claims = token.claims
    registry = jwt.JWTClaimsRegistry(
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "values": list(services)},
        exp={"essential": True},
        sub={"essential": True, "allow_blank": True},
    )
    try:
        registry.validate(claims)
        if token.header.get("typ") != TYPE:
            raise InvalidCredential
        return _caller(claims)
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise InvalidCredential from error


def _caller(claims: dict[str, object]) -> Caller:
    def text(name: str) -> str:
        value = claims[name]
        if not isinstance(value, str):
            raise TypeError(name)
        return value

    roles = claims["roles"]
    if not isinstance(roles, list):
        raise TypeError("roles")
    return Caller(
        kind=text("kind"),
        user_id=UUID(text("sub")) if text("sub") else None,
        roles=tuple(str(role) for role in roles),
        scopes=frozenset(text("scope").split()),
        credential_id=text("cid"),
        client_id=text("client_id"),
        org_id=UUID(text("org")) if text("org") else None,
        ip=text("ip"),
    )


def _decoded(encoded: str) -> bytes:
    try:
        raw = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ConfigurationError("an internal key is not base64") from error
    if len(raw) != _SEED_BYTES:
        raise ConfigurationError(f"an internal key has {_SEED_BYTES} bytes, in base64")
    return raw


def _url_safe(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
