"""Who calls a service, as the gateway vouches for it. Never read from a header that a client may write."""

from dataclasses import dataclass
from uuid import UUID

ANONYMOUS, JWT, OAUTH2, API_KEY = "anonymous", "jwt", "oauth2", "api_key"

ADMIN, USER = "ADMIN", "USER"
"""The shipped roles. ADMIN may do all that USER may."""

INFERENCE = "inference"
TOKENS_READ = "tokens:read"
TOKENS_PURCHASE = "tokens:purchase"
ANALYTICS_READ = "analytics:read"
KEYS_MANAGE = "keys:manage"
ORG_MANAGE = "org:manage"
SCOPES = {
    INFERENCE: "Call models and pay for the calls",
    TOKENS_READ: "See balances, quotas and receipts",
    TOKENS_PURCHASE: "Buy tokens",
    ANALYTICS_READ: "See usage reports",
    KEYS_MANAGE: "Create, rotate and revoke API keys",
    ORG_MANAGE: "Manage organisations and their members",
}
"""What a token or key may be allowed to do, each with the words of the consent page."""

ALL_SCOPES = frozenset(SCOPES)
KEY_SCOPES = frozenset({INFERENCE, TOKENS_READ, TOKENS_PURCHASE, ANALYTICS_READ})
"""What a key may do that names no scopes: all but making more keys and changing organisations."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated caller of one request. ``credential_id`` is a key's id, a session's or a client's.

    ``org_id`` is the organisation that the credential is bound to, if any. ``ip`` is the client's address.
    """

    kind: str
    user_id: UUID | None = None
    roles: tuple[str, ...] = ()
    scopes: frozenset[str] = frozenset()
    credential_id: str = ""
    client_id: str = ""
    org_id: UUID | None = None
    ip: str = ""

    @property
    def is_authenticated(self) -> bool:
        """Whether anybody is known to call; the name is Django REST framework's."""
        return self.kind != ANONYMOUS

    @property
    def is_admin(self) -> bool:
        """Whether the caller may act for everybody."""
        return ADMIN in self.roles

    def has_role(self, role: str) -> bool:
        """Whether the caller has ``role``, or one that includes it."""
        return role in self.roles or self.is_admin
