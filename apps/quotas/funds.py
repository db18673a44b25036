"""An account under its lock, brought up to date: what its tier allows it now, and what has expired."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.backends.utils import CursorWrapper

from apps.quotas import lots
from apps.quotas.domain import Allowance, Hold
from apps.quotas.leases import Funds, room_of


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose account it is, and what their tier allows them with each window."""

    account: UUID
    payer_kind: str
    payer_id: UUID
    provider: str
    tier: str
    allowances: Sequence[Allowance]

    @property
    def allowed(self) -> list[Allowance]:
        """What concerns this account's provider."""
        return [allowance for allowance in self.allowances if allowance[0] == self.provider]


@dataclass(frozen=True, slots=True)
class Locked:
    """An account whose row this transaction has locked; the ledger's generation; the database's time."""

    funds: Funds
    generation: int
    now: datetime
    has_expired_lots: bool


def lock(cursor: CursorWrapper, account: UUID) -> Locked:
    """Lock an account without what has expired. One that is not there has nothing."""
    locked = _read(cursor, account)
    if locked.has_expired_lots and lots.expire_lots(cursor, account):
        return _read(cursor, account)
    return locked


def lock_allowed(cursor: CursorWrapper, owner: Owner) -> Locked:
    """The same with what the tier allows; an account is opened for it."""
    allowed = owner.allowed
    if not allowed:
        return lock(cursor, owner.account)
    cursor.execute(OPEN_ACCOUNT, [owner.account, owner.payer_kind, owner.payer_id, owner.provider])
    locked = lock(cursor, owner.account)
    if lots.give_allowances(cursor, owner.account, owner.provider, owner.tier, allowed, locked.now):
        return _read(cursor, owner.account)
    return locked


def lock_for(cursor: CursorWrapper, hold: Hold) -> Funds:
    """What the account of a hold has, locked; with what its tier allows it, where it has less than the hold needs."""
    now = lock(cursor, hold.account).funds
    if room_of(now, hold.quota_cap) >= hold.amount or not hold.allowances:
        return now
    payer = hold.facts
    owner = Owner(hold.account, payer.payer_kind, payer.payer_id, payer.provider, hold.tier, hold.allowances)
    return lock_allowed(cursor, owner).funds


OPEN_ACCOUNT = """
INSERT INTO quotas_account (id, payer_kind, payer_id, provider) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING
"""


def _read(cursor: CursorWrapper, account: UUID) -> Locked:
    cursor.execute(_LOCK, [account])
    row = cursor.fetchone()
    if row is not None:
        return Locked(Funds(*row[:7]), *row[7:])
    cursor.execute("SELECT generation, clock_timestamp() FROM quotas_control")
    generation, now = cursor.fetchone()
    return Locked(Funds(0, 0, 0, 0, 0), generation, now, has_expired_lots=False)


_LOCK = """
SELECT available, leased, held, granted, epoch,
       CASE WHEN spent_day = (clock_timestamp() AT TIME ZONE 'UTC')::date THEN spent_on_day ELSE 0 END, suspended,
       generation, clock_timestamp(),
       EXISTS (
           SELECT FROM quotas_lot
           WHERE quotas_lot.account_id = account.id AND quotas_lot.open AND quotas_lot.expires_at <= clock_timestamp()
       )
FROM quotas_account AS account, quotas_control WHERE account.id = %s FOR UPDATE OF account
"""
