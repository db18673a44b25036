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
from typing import Any, Protocol, TypeVar
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
Bucket = limiter.Bucket
Budget = quotas.Budget
CallFacts = quotas.CallFacts
Catalogue = providers.Catalogue
Decision = limiter.Decision
Hold = quotas.Hold
Model = providers.Model
Price = providers.Price
Principal = orgs.Principal
Provider = providers.Provider
PublishedKey = accounts.PublishedKey
Settled = quotas.Settled
Settlement = quotas.Settlement
Tier = orgs.Tier
Trust = accounts.Trust
Upstream = providers.Upstream
account_id = quotas.account_id
bucket_key = limiter.bucket_key
LEAKY_BUCKET = limiter.LEAKY_BUCKET
check_key = accounts.parse_key
pour_call = limiter.pour_call
adjust_call = limiter.adjust_call

CONFIG_CHANNEL = config.CHANNEL
CREDENTIALS = config.CREDENTIALS
SIGNING_KEYS = config.SIGNING_KEYS
QUOTA_REDIS_URL: str = django_settings.QUOTA_REDIS_URL
REDIS_URL: str = django_settings.REDIS_URL
PUBLIC_URL: str = django_settings.PUBLIC_URL

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything operators can change that a call depends on, as of one moment."""

    versions: Mapping[str, int]
    catalogue: Catalogue
    tiers: Mapping[str, Tier]
    verification_keys: Mapping[str, PublishedKey]
    trust: Trust

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
    return Snapshot(versions, providers.catalogue(), orgs.tiers(), accounts.published_keys(), accounts.trust())


class Quota(Protocol):
    """Admission against the ledger. The row-lock backend is one implementation, leases will be the other."""

    async def reserve(self, hold: Hold) -> None:
        """Take a hold.

        Raises:
            InsufficientQuota, AccountSuspended, StoreUnavailable (then the hold may have been taken)
        """

    async def renew(self, progress: Sequence[tuple[UUID, UUID, int]]) -> set[UUID]:
        """Prolong live holds, each (account, hold, tokens so far); returns those that are no longer held."""

    async def settle(self, settlement: Settlement) -> Settled:
        """End a hold; repeating it changes nothing.

        Raises:
            HoldNotFound, StoreUnavailable
        """


class RowLockQuota:
    """Holds by a row lock in PostgreSQL: correct, slow, and the oracle for every faster backend."""

    def __init__(self, database: Database, *, hold_ms: int) -> None:
        self._database = database
        self._hold_ms = hold_ms

    async def reserve(self, hold: Hold) -> None:
        """See :class:`Quota`."""
        await self._database.run(quotas.reserve, hold, ttl_ms=self._hold_ms)

    async def renew(self, progress: Sequence[tuple[UUID, UUID, int]]) -> set[UUID]:
        """See :class:`Quota`."""
        return await self._database.run(quotas.renew, progress, ttl_ms=self._hold_ms)

    async def settle(self, settlement: Settlement) -> Settled:
        """See :class:`Quota`."""
        return await self._database.run(quotas.settle, settlement)
