"""Credentials as the rest of the product sees them. Pure."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from apps.core.errors import InvalidCredential, Refused


@dataclass(frozen=True, slots=True)
class CredentialRecord:
    """A credential that is good now: whose it is, what it may do, and until when.

    ``kind`` is ``api_key``, ``jwt`` (first-party) or ``oauth2``. ``id`` names it without giving it away: a key's id, a
    session's, a client's. ``org_id`` is the organisation it is bound to. None in ``allowed_models`` and
    ``allowed_networks`` means all, in ``budget`` (tokens) none. Keys that replaced one another share the budget that
    ``budget_id`` names. ``token_version`` is what a token carries, None for a key: below its user's, the token is
    dead.
    """

    kind: str
    id: str
    user_id: UUID
    roles: tuple[str, ...]
    scopes: frozenset[str]
    org_id: UUID | None = None
    allowed_models: frozenset[str] | None = None
    allowed_networks: tuple[str, ...] | None = None
    client_id: str = ""
    budget: int | None = None
    budget_id: str = ""
    expires_at: datetime | None = None
    token_version: int | None = None


@dataclass(frozen=True, slots=True)
class Visitor:
    """From where somebody signs in: the client's address ("" if unknown) and what its program calls itself."""

    ip: str = ""
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What a verified access token says. ``checksum`` is the SHA-256 of its text, by which it may have been revoked.

    ``kind`` is ``jwt`` or ``oauth2``, by the issuer. ``session_id`` is the first-party session ("" for OAuth2).
    """

    kind: str
    subject: UUID
    token_version: int
    expires_at: datetime
    scopes: frozenset[str]
    checksum: str
    jti: str
    session_id: str = ""
    client_id: str = ""


class ExpiredKey(InvalidCredential):
    """The key was good once. Told only to who has its secret."""

    code = "expired_api_key"


class TooManyKeys(Refused):
    """The owner has as many good keys as anybody may have."""

    code = "too_many_keys"


class ScopesWidened(Refused):
    """The change would let a key do what it could not do before."""

    code = "scopes_widened"


class KeyEnded(Refused):
    """The key has been replaced, has expired or was revoked, and stays as it is.

    ``successor`` is the id of the key that replaced it, or "".
    """

    code = "key_ended"

    def __init__(self, successor: str = "") -> None:
        self.successor = successor
        super().__init__(f"The key has been replaced by {successor}." if successor else "The key works no more.")
