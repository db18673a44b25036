"""What Valkey has of each lease beside what the ledger says, and starting over where it is gone."""

from collections import defaultdict
from dataclasses import dataclass
from uuid import UUID

from apps.limiter.api import EntryKind, Limiter, Recall, recall_call, shard_of
from apps.quotas.closing import doubt_leases
from apps.quotas.leases import Lease, LeaseState, lease_id
from apps.quotas.store import own_purse, quota_store, tokens_in
from apps.quotas.transactions import ledger_transaction

MOST_ENTRIES = 100_000
"""Entries of a shard's journal that are looked at."""


@dataclass(frozen=True, slots=True)
class LeaseStanding:
    """A lease that is not closed, in tokens: what the ledger has on it, and where Valkey has that."""

    account: UUID
    epoch: int
    generation: int
    state: str
    leased: int
    in_purse: int
    journalled: int
    has_purse: bool

    @property
    def standing(self) -> str:
        """In a word or two."""
        missing = self.leased - self.in_purse - self.journalled
        return self.state.lower() + (" in step" if not missing else f" {missing:+,} not in Valkey")


def purses_of_leases(account: UUID | None = None) -> list[LeaseStanding]:
    """Every lease that is not closed, of one account or of all.

    Raises:
        StoreUnavailable: PostgreSQL or Valkey did not answer.
    """
    limiter = quota_store()
    leases = _leases(account)
    waiting = _journalled(limiter, {shard_of(lease.account) for lease in leases})
    return [_standing(limiter, lease, waiting[lease.account, lease.epoch]) for lease in leases]


def start_over(found: LeaseStanding) -> bool:
    """Recall what a lease's purse has and put the lease in doubt, so that the next call takes a new one.

    Raises:
        StoreUnavailable: do it again.
    """
    if found.has_purse:
        recall_id = lease_id(found.account, found.epoch)
        order = Recall(recall_id, found.account, found.generation, found.epoch, 0, close=True)
        quota_store().run(recall_call(order))
    return bool(doubt_leases([(found.account, found.epoch)], "started over"))


def _standing(limiter: Limiter, lease: Lease, journalled: int) -> LeaseStanding:
    purse = own_purse(limiter, lease)
    return LeaseStanding(
        lease.account, lease.epoch, lease.generation, lease.state, lease.remaining, tokens_in(purse), journalled,
        has_purse=purse is not None,
    )  # fmt: skip


def _leases(account: UUID | None) -> list[Lease]:
    with ledger_transaction() as cursor:
        cursor.execute(_LEASES, {"account": account})
        return [
            Lease(of_account, epoch, generation, granted, settled, returned, LeaseState(state))
            for of_account, epoch, generation, granted, settled, returned, state in cursor.fetchall()
        ]


_LEASES = """
SELECT account_id, epoch, generation, granted, settled, returned, state FROM quotas_lease
WHERE state <> 'CLOSED' AND (%(account)s::uuid IS NULL OR account_id = %(account)s) ORDER BY account_id, epoch
"""


def _journalled(limiter: Limiter, shards: set[int]) -> dict[tuple[UUID, int], int]:
    """Tokens that wait in journals, by lease."""
    waiting: dict[tuple[UUID, int], int] = defaultdict(int)
    for shard in sorted(shards):
        charged: dict[UUID, int] = {}
        for _, entry in limiter.journal(shard, MOST_ENTRIES):
            if entry is None or entry.account is None or entry.kind is EntryKind.DENIED:
                continue
            before = charged.get(entry.subject, 0) if entry.kind is not EntryKind.RETURNED else 0
            charged[entry.subject] = entry.charged
            waiting[entry.account, entry.epoch] += entry.charged - before + entry.returned
    return waiting
