"""The audit of the books: PostgreSQL against itself, a sealed day against its seal, and purses in Valkey against their
leases.

A difference raises a metric and freezes the closing of leases, so that nothing is given back on wrong numbers.
Traffic goes on.
"""

import time
from collections.abc import Iterator
from uuid import UUID

import structlog
from prometheus_client import Gauge

from apps.core.errors import StoreUnavailable
from apps.limiter.api import SHARDS, Limiter, shard_of
from apps.quotas.control import freeze_closing
from apps.quotas.domain import Difference
from apps.quotas.identities import check_identities
from apps.quotas.seals import check_a_seal
from apps.quotas.store import quota_store
from apps.quotas.transactions import ledger_transaction

log = structlog.get_logger(__name__)

_differences = Gauge("leaky_ledger_differences", "Differences that the latest audit of the ledger has found.")
_absorbed = Gauge("leaky_ledger_absorbed_ratio", "Tokens that the house bore, of all that were spent.")


def audit_ledger() -> list[Difference]:
    """Compare everything once; on a difference, set the alarm and freeze closing. Valkey may be away: it is left out.

    Raises:
        StoreUnavailable: PostgreSQL did not answer.
    """
    with ledger_transaction() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '10min'")
        found = check_identities()
    found += check_a_seal(time.time())
    try:
        found += check_purses(quota_store())
    except StoreUnavailable as error:
        log.warning("audit.purses_unseen", reason=str(error))
    _differences.set(len(found))
    _absorbed.set(_absorbed_ratio())
    if found:
        log.error("audit.differences", count=len(found), first=str(found[0]))
        freeze_closing(f"{len(found)} differences, the first: {found[0]}")
    return found


def audit_account(account: UUID) -> list[Difference]:
    """The same of one account; nothing is frozen.

    Raises:
        StoreUnavailable: PostgreSQL or Valkey did not answer.
    """
    return [*check_identities(account), *check_purses(quota_store(), account)]


def check_purses(limiter: Limiter, account: UUID | None = None) -> list[Difference]:
    """Purses of OPEN leases that hold what nobody has given them, or do not add up; of one account or of all.

    Raises:
        StoreUnavailable: Valkey did not answer.
    """
    runs = {shard: limiter.run_id(shard) for shard in range(SHARDS)}
    found: list[Difference] = []
    for of_account, epoch, generation in _open_leases(account):
        purse = limiter.purse(of_account)
        if purse is None or (purse.generation, purse.epoch) != (generation, epoch):
            continue
        if purse.run_id != runs[shard_of(of_account)]:
            continue
        kept = purse.available + purse.reserved + purse.spent + purse.quarantined + purse.returned
        if kept != purse.granted:
            found.append(Difference(of_account, "purse (granted)", purse.granted, kept))
        granted = _granted(of_account, epoch)  # Read after the purse: what reaches it was committed before.
        if purse.granted > granted:
            found.append(Difference(of_account, "purse (lease)", purse.granted, granted))
    return found


def _open_leases(account: UUID | None) -> Iterator[tuple[UUID, int, int]]:
    with ledger_transaction() as cursor:
        cursor.execute(_OPEN_LEASES, {"account": account})
        yield from cursor.fetchall()


_OPEN_LEASES = """
SELECT account_id, epoch, generation FROM quotas_lease
WHERE state = 'OPEN' AND (%(account)s::uuid IS NULL OR account_id = %(account)s)
"""


def _granted(account: UUID, epoch: int) -> int:
    with ledger_transaction() as cursor:
        cursor.execute("SELECT granted FROM quotas_lease WHERE account_id = %s AND epoch = %s", [account, epoch])
        return int(cursor.fetchone()[0])


def _absorbed_ratio() -> float:
    with ledger_transaction() as cursor:
        cursor.execute("SELECT coalesce(sum(absorbed), 0), coalesce(sum(spent), 0) FROM quotas_account")
        absorbed, spent = cursor.fetchone()
    return float(absorbed) / float(spent) if spent else 0.0
