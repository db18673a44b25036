"""Who calls: one credential per request, known for as long as nothing about credentials has changed.

The cache is keyed by the SHA-256 of the whole credential (CVE-2026-35030 shows what a shorter key does) and emptied
when the version of the credentials rises, so a revoked key stops within the bound of the configuration push.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from apps.core.errors import InvalidCredential
from gateway.control_plane import Principal, check_credential
from gateway.errors import ambiguous_credentials, unauthorized
from gateway.exchange import Exchange
from gateway.metrics import CREDENTIAL_CACHE, CREDENTIAL_VALIDATION, tally

_IN_QUERY = ("key", "api_key", "api-key", "access_token")


def presented_credential(exchange: Exchange) -> str:
    """The one credential of the request, from ``Authorization: Bearer`` or ``X-Api-Key``.

    Raises:
        ApiError: 401 when there is none or it is not a bearer's, 400 when there are several.
    """
    bearers = exchange.header_values(b"authorization")
    keys = exchange.header_values(b"x-api-key")
    if len(bearers) + len(keys) > 1:
        raise ambiguous_credentials()
    if keys:
        return _text(keys[0])
    if not bearers:
        raise unauthorized(_where_to_put_it(exchange.query))
    scheme, _, credential = bearers[0].partition(b" ")
    if scheme.lower() != b"bearer" or not credential.strip():
        raise unauthorized()
    return _text(credential)


def _text(raw: bytes) -> str:
    try:
        return raw.strip().decode("ascii")
    except UnicodeDecodeError:
        raise unauthorized() from None


def _where_to_put_it(query: bytes) -> str:
    names = {part.partition(b"=")[0].lower().decode("latin-1") for part in query.split(b"&")}
    if names & set(_IN_QUERY):
        return "Send the API key in the header `Authorization: Bearer …`, never in the URL, where it would be logged."
    return "You didn't provide an API key. Send it in the header `Authorization: Bearer …`."


class Authenticator:
    """Credentials to principals: from memory when seen before, else from PostgreSQL, one query for many waiting."""

    def __init__(self, look_up: Callable[[str], Awaitable[Principal]], size: int) -> None:
        self._look_up = look_up
        self._size = size
        self._known: OrderedDict[bytes, Principal] = OrderedDict()
        self._asked: dict[bytes, asyncio.Future[Principal]] = {}

    async def principal(self, exchange: Exchange) -> Principal:
        """The caller.

        Raises:
            ApiError: 401 or 400.
            StoreUnavailable: an unknown credential, and PostgreSQL does not answer.
        """
        credential = presented_credential(exchange)
        try:
            principal = await self._find(credential)
        except InvalidCredential:
            tally.count(CREDENTIAL_VALIDATION, "failure")
            raise unauthorized() from None
        tally.count(CREDENTIAL_VALIDATION, "success")
        exchange.fields["key_id"] = principal.key_id
        return principal

    def forget(self) -> None:
        """Drop everything known, and what is being looked up now: something about credentials has changed."""
        self._known.clear()
        self._asked.clear()

    async def _find(self, credential: str) -> Principal:
        digest = hashlib.sha256(credential.encode()).digest()
        principal = self._known.get(digest)
        tally.count(CREDENTIAL_CACHE, "hit" if principal else "miss")
        if principal is None:
            check_credential(credential)
            principal = await self._ask_once(digest, credential)
        if principal.expires_at is not None and principal.expires_at <= datetime.now(UTC):
            raise InvalidCredential
        return principal

    async def _ask_once(self, digest: bytes, credential: str) -> Principal:
        asked = self._asked.get(digest)
        if asked is None:
            asked = asyncio.ensure_future(self._look_up(credential))
            self._asked[digest] = asked
            asked.add_done_callback(lambda future: self._answered(digest, future))
        return await asyncio.shield(asked)

    def _answered(self, digest: bytes, future: asyncio.Future[Principal]) -> None:
        if self._asked.get(digest) is not future:
            return
        del self._asked[digest]
        if not future.cancelled() and future.exception() is None:
            self._known[digest] = future.result()
            if len(self._known) > self._size:
                self._known.popitem(last=False)
