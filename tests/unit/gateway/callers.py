"""An authenticator without a network: requests made of headers, and a database that counts what it is asked."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from joserfc.jwk import RSAKey

from apps.accounts.tokens import PublishedKey, Trust, verify_access_token
from apps.core.errors import InvalidCredential
from apps.core.http.caller import KEY_SCOPES
from gateway.authentication import Authenticator
from gateway.control_plane import AccessClaims, Principal
from gateway.exchange import Exchange
from gateway.freshness import Freshness
from gateway.server.request import Head, Request
from tests.unit.gateway.door import Wire

TRUST = Trust("leaky-tokens-auth", "https://gateway.example", "leaky-tokens")
SIGNING = RSAKey.generate_key(2048, {"kid": "k1"}, private=True, auto_kid=False)
KEYS = {"k1": PublishedKey("k1", RSAKey.import_key(SIGNING.as_dict(private=False)), None)}


def exchange(*headers: tuple[bytes, bytes], path: str = "/v1/models", peer: str = "203.0.113.7") -> Exchange:
    """A request with these headers."""
    return Exchange(Request(Wire(), Head("GET", path, path.encode(), b"", peer, list(headers))), 0.0)


def bearer(credential: str, *headers: tuple[bytes, bytes], **others: Any) -> Exchange:
    """A request with this credential."""
    return exchange((b"authorization", b"Bearer " + credential.encode()), *headers, **others)


def somebody(**fields: Any) -> Principal:
    """A principal of an API key."""
    user = uuid4()
    usual = Principal("key0000000", user, "user", user, None, "FREE", None, None, scopes=KEY_SCOPES)
    return replace(usual, **fields)


@dataclass
class Directory:
    """The database's part: credentials and their principals. ``answering`` holds answers back while it is clear."""

    principals: dict[str, Principal] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    compared: int = 0
    used: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.answering.set()

    async def look_up(self, credential: str | AccessClaims, org_id: UUID | None) -> Principal:
        """As :meth:`gateway.control_plane.Database.principal`; what it read is from before it waits."""
        name = credential if isinstance(credential, str) else str(credential.subject)
        self.asked.append(name)
        self.reading.set()
        found = self.principals.get(name)
        await self.answering.wait()
        if found is None:
            raise InvalidCredential
        return found if org_id is None else replace(found, payer_kind="org", payer_id=org_id, org_id=org_id)

    async def compare(self) -> None:
        """Versions are always equal."""
        self.compared += 1

    def authenticator(self, *, size: int = 100) -> Authenticator:
        """An authenticator in front of it."""
        freshness = Freshness(self.compare, tolerated_s=60, outage_s=600)
        return Authenticator(self.look_up, verify, freshness, self.used.__setitem__, size=size)


def verify(token: str) -> AccessClaims:
    """As a gateway does it, with :data:`KEYS`."""
    return verify_access_token(token, KEYS, TRUST, datetime.now(UTC))
