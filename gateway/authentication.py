"""Who calls: one credential per request, known for as long as nothing about its subjects has changed.

What is remembered is keyed by the SHA-256 of the whole credential (CVE-2026-35030 shows what a shorter key does) and
the organisation that the request names. A change names the subjects that it concerns (a user, an organisation, a key);
only who depends on one of them is looked up again. See :mod:`gateway.freshness` for how old what is remembered may be.
"""

import asyncio
import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from uuid import UUID

from apps.core.errors import AccountSuspended, InvalidCredential, NotAMember
from apps.core.http.caller import API_KEY, JWT
from gateway import errors
from gateway.control_plane import AccessClaims, Principal, check_key
from gateway.credentials import KEY_PREFIX, named_organisation, presented_credential
from gateway.exchange import Exchange
from gateway.freshness import Freshness
from gateway.metrics import CREDENTIAL_CACHE, CREDENTIAL_VALIDATION, tally

MOST_CHANGED = 10_000
"""Changed subjects to remember; with more than that, everybody is forgotten."""

LookUp = Callable[[str | AccessClaims, UUID | None], Awaitable[Principal]]
Verify = Callable[[str], AccessClaims]


@dataclass(slots=True)
class Known:
    """A principal, with what every call asks of it made ready once.

    ``checked`` is the count of changes up to which its ``subjects`` are known to be untouched. Until ``ends_at``
    (seconds since the epoch, or infinite) the principal is as it was found: then the credential ends, or the payer's
    tier does and another begins. The database is asked which.
    """

    principal: Principal
    subjects: tuple[str, ...]
    networks: tuple[IPv4Network | IPv6Network, ...] | None
    ends_at: float
    checked: int


class Authenticator:
    """Credentials to principals: from memory when seen before, else from PostgreSQL, one look-up for many waiting."""

    def __init__(
        self, look_up: LookUp, verify: Verify, freshness: Freshness, note_use: Callable[[str, float], None],
        *, size: int,
    ) -> None:  # fmt: skip
        self._look_up = look_up
        self._verify = verify
        self._freshness = freshness
        self._note_use = note_use
        self._size = size
        self._known: OrderedDict[bytes, Known] = OrderedDict()
        self._asked: dict[bytes, asyncio.Future[Known]] = {}
        self._changes = 0
        self._changed: dict[str, int] = {}

    async def principal(self, exchange: Exchange, scope: str | None = None) -> Principal:
        """The caller, who may do what ``scope`` names, from this address.

        Raises:
            ApiError: 401, 400 or 403.
            StoreUnavailable: an unknown credential, and PostgreSQL does not answer.
        """
        try:
            known = await self._find(presented_credential(exchange), named_organisation(exchange))
        except InvalidCredential:
            tally.count(CREDENTIAL_VALIDATION, "failure")
            raise errors.unauthorized() from None
        except AccountSuspended:
            raise errors.suspended() from None
        except NotAMember:
            raise errors.not_a_member() from None
        principal = known.principal
        exchange.fields["key_id"] = principal.key_id
        if known.networks is not None and not _lies_in(exchange.client_ip, known.networks):
            raise errors.ip_not_allowed()
        if scope is not None and scope not in principal.scopes:
            raise errors.insufficient_scope(scope)
        tally.count(CREDENTIAL_VALIDATION, "success")
        return principal

    def forget(self, subjects: Collection[str] | None) -> None:
        """Look these subjects up again when they call next, or (None) everybody.

        What is being looked up now may have been read before the change: it is answered, but not remembered.
        """
        self._asked.clear()
        self._changes += 1
        if subjects is None or len(self._changed) + len(subjects) > MOST_CHANGED:
            self._known.clear()
            self._changed.clear()
        else:
            self._changed.update(dict.fromkeys(subjects, self._changes))

    async def _find(self, credential: str, org_id: UUID | None) -> Known:
        if not self._freshness.is_fresh():
            await self._freshness.freshen()
        digest = hashlib.sha256(credential.encode()).digest()
        if org_id is not None:
            digest += org_id.bytes
        known, now = self._known.get(digest), time.time()
        if known is not None and now < known.ends_at and self._is_untouched(known):
            tally.count(CREDENTIAL_CACHE, "hit")
        else:
            tally.count(CREDENTIAL_CACHE, "miss")
            known = await self._ask_once(digest, self._checked(credential), org_id)
        if known.principal.kind == API_KEY:
            self._note_use(known.principal.key_id, now)
        return known

    def _is_untouched(self, known: Known) -> bool:
        """Whether no change since the last look concerned this caller."""
        if known.checked == self._changes:
            return True
        if any(self._changed.get(subject, 0) > known.checked for subject in known.subjects):
            return False
        known.checked = self._changes
        return True

    def _checked(self, credential: str) -> str | AccessClaims:
        """What PostgreSQL is asked about: a key whose checksum is right, or a token that one of our keys signed."""
        if not credential.startswith(KEY_PREFIX):
            return self._verify(credential)
        check_key(credential)
        return credential

    async def _ask_once(self, digest: bytes, credential: str | AccessClaims, org_id: UUID | None) -> Known:
        asked = self._asked.get(digest)
        if asked is None:
            asked = asyncio.ensure_future(self._ask(credential, org_id))
            self._asked[digest] = asked
            asked.add_done_callback(partial(self._answered, digest))
        return await asyncio.shield(asked)

    async def _ask(self, credential: str | AccessClaims, org_id: UUID | None) -> Known:
        changes = self._changes
        principal = await self._look_up(credential, org_id)
        return Known(
            principal,
            subjects_of(principal),
            _parsed(principal.allowed_networks),
            math.inf if principal.expires_at is None else principal.expires_at.timestamp(),
            changes,
        )

    def _answered(self, digest: bytes, future: asyncio.Future[Known]) -> None:
        if self._asked.get(digest) is not future:
            return
        del self._asked[digest]
        if not future.cancelled() and future.exception() is None:
            self._known[digest] = future.result()
            if len(self._known) > self._size:
                self._known.popitem(last=False)


def subjects_of(principal: Principal) -> tuple[str, ...]:
    """Whatever a change of may change who this is: the names that ``config.api.touch`` is given."""
    organisations = {org for org in (principal.org_id, principal.bound_org_id) if org is not None}
    own = {API_KEY: f"key:{principal.key_id}", JWT: f"session:{principal.key_id}"}.get(
        principal.kind, f"client:{principal.client_id}"
    )
    return (f"user:{principal.user_id}", own, *(f"org:{org}" for org in organisations))


def _parsed(networks: tuple[str, ...] | None) -> tuple[IPv4Network | IPv6Network, ...] | None:
    return None if networks is None else tuple(ip_network(network, strict=False) for network in networks)


def _lies_in(address: str, networks: Collection[IPv4Network | IPv6Network]) -> bool:
    """Whether an address is in one of the networks; one that cannot be read is in none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks)
