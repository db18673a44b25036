"""The gateway's only door to the apps, and the only module in it that knows Django.

What the apps offer is synchronous. Each call takes one hop into a thread of our own executor, which has as many threads
as we want connections; Django's thread-sensitive bridge would queue all of them on one. Importing this module sets
Django up.
"""

import asyncio
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leaky_tokens.settings.prod")
django.setup()

from django.conf import settings as django_settings  # noqa: E402
from django.db import Error as DatabaseError  # noqa: E402
from django.db import InterfaceError, OperationalError, connection  # noqa: E402

from apps.accounts import api as accounts  # noqa: E402
from apps.config import api as config  # noqa: E402
from apps.core.errors import StoreUnavailable  # noqa: E402
from apps.limiter import api as limiter  # noqa: E402
from apps.orgs import api as orgs  # noqa: E402
from apps.providers import api as providers  # noqa: E402
from apps.quotas import api as quotas  # noqa: E402

AccessClaims = accounts.AccessClaims
Admitted = limiter.Admitted
AppliedKind = limiter.AppliedKind
Beat = limiter.Beat
Bucket = limiter.Bucket
Budget = quotas.Budget
CallFacts = quotas.CallFacts
Catalogue = providers.Catalogue
Claim = limiter.Claim
ClaimEnd = limiter.ClaimEnd
Decision = limiter.Decision
Ended = limiter.Ended
EndedKind = limiter.EndedKind
EntryKind = limiter.EntryKind
Extended = limiter.Extended
ExtendedKind = limiter.ExtendedKind
Hold = quotas.Hold
JournalEnding = limiter.Ending
LookAgain = quotas.LookAgain
Mark = limiter.Mark
Mode = limiter.Mode
Model = providers.Model
Need = quotas.Need
Order = limiter.Order
Part = quotas.Part
PartOfLease = limiter.PartOfLease
Policy = limiter.Policy
Price = providers.Price
Principal = orgs.Principal
Provider = providers.Provider
PublishedKey = accounts.PublishedKey
Pulse = limiter.Pulse
Refusal = limiter.Refusal
RefusalKind = limiter.RefusalKind
Settled = quotas.Settled
Settlement = quotas.Settlement
Stamp = quotas.Stamp
Strategy = limiter.Strategy
Tier = orgs.Tier
Trust = accounts.Trust
Upstream = providers.Upstream
account_id = quotas.account_id
adjust_call = limiter.adjust_call
budgets_of = orgs.budgets_of
check_key = accounts.parse_key
decode_mark = limiter.decode_mark
extend_call = limiter.extend_call
grant_call = limiter.grant_call
heartbeat_call = limiter.heartbeat_call
mark_key = limiter.mark_key
note_call = limiter.note_call
pour_call = limiter.pour_call
purse_key = limiter.purse_key
reserve_call = limiter.reserve_call
reset_time = quotas.reset_time
settle_call = limiter.settle_call
shard_of = limiter.shard_of
tag_of = limiter.tag_of
topup_call = limiter.topup_call
GRANT_MS = quotas.GRANT_MS
LIBRARY = limiter.LIBRARY
MARK_FIELDS = limiter.MARK_FIELDS

CONFIG_CHANNEL = config.CHANNEL
CREDENTIALS = config.CREDENTIALS
LEDGER = config.LEDGER
SIGNING_KEYS = config.SIGNING_KEYS
QUOTA_REDIS_URL: str = django_settings.QUOTA_REDIS_URL
REDIS_URL: str = django_settings.REDIS_URL
PUBLIC_URL: str = django_settings.PUBLIC_URL
TOMBSTONE_MS: int = django_settings.QUOTA_TOMBSTONE_SECONDS * 1000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything operators can change that a call depends on, as of one moment."""

    versions: Mapping[str, int]
    catalogue: Catalogue
    tiers: Mapping[str, Tier]
    verification_keys: Mapping[str, PublishedKey]
    trust: Trust
    ledger_generation: int

    def verify(self, token: str) -> AccessClaims:
        """What an access token says, if it is one of ours and in force now. No store is asked, nothing is fetched.

        Raises:
            InvalidCredential
        """
        return accounts.verify_access_token(token, self.verification_keys, self.trust, datetime.now(UTC))


class Database:
    """Runs the apps' functions in threads that keep their connection."""

    def __init__(self, threads: int, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="database")

    async def run(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Run ``function`` in a thread.

        A server that hangs is given up on, because nothing else would: its statement timeout hangs with it. The thread
        is free again when the server is.

        Raises:
            StoreUnavailable: PostgreSQL did not answer in time, or broke off. The outcome of a write is then unknown.
        """
        call = partial(_with_connection, function, *args, **kwargs)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.get_running_loop().run_in_executor(self._executor, call)
        except TimeoutError as error:
            raise StoreUnavailable("PostgreSQL did not answer in time") from error

    async def principal(self, credential: str | AccessClaims, org_id: UUID | None) -> Principal:
        """Who presents this key, or this verified token, and names this organisation to pay.

        Raises:
            InvalidCredential, NotAMember, AccountSuspended, StoreUnavailable
        """
        return await self.run(orgs.principal_of, credential, org_id)

    async def changes(self, after: int, until: int) -> Collection[str] | None:
        """Whose credentials the versions after ``after`` up to ``until`` concerned; None: everybody's."""
        return await self.run(config.changes, CREDENTIALS, after, until)

    async def note_key_uses(self, uses: Mapping[str, datetime]) -> None:
        """Keep when keys were last used.

        Raises:
            StoreUnavailable
        """
        await self.run(accounts.note_key_uses, uses)

    async def snapshot(self) -> Snapshot:
        """Read the configuration. Versions are read first: a change in between shows at the next comparison."""
        return await self.run(_read_snapshot)

    async def versions(self) -> Mapping[str, int]:
        """The present versions, by topic."""
        return await self.run(config.versions)

    async def ledger_id(self) -> UUID:
        """Which ledger this is, wherever it is served.

        Raises:
            StoreUnavailable
        """
        return await self.run(quotas.ledger_id)

    async def ensure_lease(self, need: Need) -> Part | LookAgain:
        """More tokens for an account's purse.

        Raises:
            InsufficientQuota, InsufficientBudget, AccountSuspended, StoreUnavailable
        """
        return await self.run(quotas.ensure_lease, need)

    async def register_spool(self, spool_id: str, host: str) -> Stamp:
        """Make a spool known. Raises StoreUnavailable."""
        return await self.run(quotas.register_spool, spool_id, host)

    async def report_spool(
        self, spool_id: str, host: str, *, oldest_age_ms: int | None, pending: int, as_of: Stamp
    ) -> Stamp:
        """Say since when a spool waits for the ledger, as of what the report before was answered.

        Raises:
            StoreUnavailable
        """
        return await self.run(
            quotas.report_spool, spool_id, host, oldest_age_ms=oldest_age_ms, pending=pending, as_of=as_of
        )

    async def close_spool(self, spool_id: str) -> None:
        """Say that a spool waits for nothing any more. Raises StoreUnavailable."""
        await self.run(quotas.close_spool, spool_id)

    async def reserve(self, hold: Hold, *, ttl_ms: int) -> None:
        """Take a hold by a row lock.

        Raises:
            InsufficientQuota, InsufficientBudget, AccountSuspended, StoreUnavailable (then it may have been taken)
        """
        await self.run(quotas.reserve, hold, ttl_ms=ttl_ms)

    async def extend(self, hold: Hold, tokens: int) -> None:
        """Set more aside for such a hold.

        Raises:
            HoldNotFound, InsufficientQuota, InsufficientBudget, AccountSuspended, StoreUnavailable
        """
        await self.run(quotas.extend, hold, tokens)

    async def renew(self, progress: Sequence[tuple[UUID, UUID, int]], *, ttl_ms: int) -> set[UUID]:
        """Prolong such holds, each (account, hold, tokens so far); returns those that are no longer held."""
        return await self.run(quotas.renew, progress, ttl_ms=ttl_ms)

    async def settle(self, settlement: Settlement) -> Settled:
        """End such a hold; repeating it changes nothing.

        Raises:
            HoldNotFound, StoreUnavailable
        """
        return await self.run(quotas.settle, settlement)

    def close(self) -> None:
        """Let the threads end."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _with_connection(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    try:
        return function(*args, **kwargs)
    except (OperationalError, InterfaceError) as error:
        connection.close()
        raise StoreUnavailable("PostgreSQL did not answer") from error
    except DatabaseError:
        connection.close_if_unusable_or_obsolete()
        raise


def _read_snapshot() -> Snapshot:
    versions = config.versions()
    return Snapshot(
        versions, providers.catalogue(), orgs.tiers(), accounts.published_keys(), accounts.trust(),
        quotas.ledger_generation(),
    )  # fmt: skip
