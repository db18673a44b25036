"""What an account may still spend, to the token, while calls go on. Pure, like the domain.

The ledger knows what was given and booked; the purse in the quota store knows what calls hold and have spent since. The
two are read one after the other, so what only one of them has seen yet is taken into account by the lease's own sums:
a part that is on its way to the purse, a return or a charge that is on its way to the ledger.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Lot:
    """One grant: how many tokens it gave, how many of them the ledger has not booked as spent, and its end."""

    id: UUID
    tokens: int
    remaining: int
    recurs: bool
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Lent:
    """A lease that is not closed, as the ledger has it. ``doubtful``: nothing is known of what its purse had."""

    epoch: int
    granted: int
    settled: int
    returned: int
    doubtful: bool

    @property
    def outstanding(self) -> int:
        """What the ledger has not heard of again."""
        return self.granted - self.settled - self.returned


@dataclass(frozen=True, slots=True)
class Purse:
    """A lease's tokens as the quota store has them: ``granted = available + held + spent + returned``."""

    epoch: int
    granted: int
    available: int
    held: int
    spent: int
    returned: int
    live: int


@dataclass(frozen=True, slots=True)
class Books:
    """An account in the ledger. ``used`` are the tokens spent in the window of the payer's cap."""

    account: UUID
    provider: str
    suspended: bool
    granted: int
    available: int
    leased: int
    held: int
    spent: int
    expired: int
    refunded: int
    used: int
    updated_at: datetime | None
    lots: Sequence[Lot]
    lent: Sequence[Lent]


def nothing(account: UUID, provider: str) -> Books:
    """An account that was never opened."""
    return Books(account, provider, False, 0, 0, 0, 0, 0, 0, 0, 0, None, (), ())  # noqa: FBT003 (not suspended)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a quota: what was granted and has not ended, and what may still be spent of that."""

    total: int
    remaining: int


@dataclass(frozen=True, slots=True)
class Quota:
    """What a payer may still spend with a provider, in tokens.

    ``total = remaining + held + spent + in doubt`` but for what past windows' allowances spent, and for the cap.
    """

    account: UUID
    provider: str
    suspended: bool
    total: int
    remaining: int
    allowance: Part
    purchased: Part
    held: int
    spent: int
    leased: int
    in_doubt: int
    cap: int | None
    cap_remaining: int | None
    updated_at: datetime | None
    resets_at: datetime | None
    calls: int


@dataclass(frozen=True, slots=True)
class _Moving:
    """What leases add to the ledger's sums: free, held by calls, spent and not yet booked, in doubt."""

    free: int = 0
    held: int = 0
    unbooked: int = 0
    in_doubt: int = 0

    def plus(self, other: "_Moving") -> "_Moving":
        return _Moving(
            self.free + other.free,
            self.held + other.held,
            self.unbooked + other.unbooked,
            self.in_doubt + other.in_doubt,
        )


def quota_of(
    books: Books, purse: Purse | None, *, cap: int | None, due: int, resets_at: datetime | None, now: datetime
) -> Quota:
    """An account's quota. ``due`` are allowances of windows that have begun and that no call has fetched yet.

    ``purse`` is None when there is none, or nobody could ask: then what is lent counts as free.
    """
    moving = _sum(_lent(lease, purse) for lease in books.lent)
    lots, ended = _in_force(books, now)
    free = max(books.available + moving.free - ended, 0) + due
    held, used = books.held + moving.held, books.used + moving.unbooked
    left = None if cap is None else max(cap - used - held, 0)
    allowance, purchased = _parts(lots, free, due)
    return Quota(
        account=books.account,
        provider=books.provider,
        suspended=books.suspended,
        total=max(allowance.total + purchased.total - books.refunded, 0),
        remaining=free if left is None else min(free, left),
        allowance=allowance,
        purchased=purchased,
        held=held,
        spent=books.spent + moving.unbooked,
        leased=moving.free,
        in_doubt=moving.in_doubt,
        cap=cap,
        cap_remaining=left,
        updated_at=books.updated_at,
        resets_at=resets_at,
        calls=purse.live if purse else 0,
    )


def _in_force(books: Books, now: datetime) -> tuple[list[Lot], int]:
    """Lots that are not over, and what is available of those that are: the ledger takes it with its next step.

    What is out on leases and holds may still be spent, and comes from the lots that are over first.
    """
    over = [lot for lot in books.lots if lot.ends_at is not None and lot.ends_at <= now]
    rest = sum(lot.remaining for lot in over)
    ended = min(max(rest - books.leased - books.held, 0), books.available)
    still = rest - ended
    kept = [lot for lot in books.lots if lot not in over]
    return kept + ([Lot(books.account, still, still, True, now)] if still else []), ended  # noqa: FBT003 (recurs)


def _lent(lease: Lent, purse: Purse | None) -> _Moving:
    if purse is None or purse.epoch != lease.epoch:
        return _Moving(in_doubt=lease.outstanding) if lease.doubtful else _Moving(free=lease.outstanding)
    coming = lease.granted - purse.granted
    going = purse.returned - lease.returned
    free = purse.available + coming + going
    moving = _Moving(held=purse.held, unbooked=purse.spent - lease.settled)
    return moving.plus(_Moving(in_doubt=free) if lease.doubtful else _Moving(free=free))


def _sum(parts: Iterable[_Moving]) -> _Moving:
    total = _Moving()
    for part in parts:
        total = total.plus(part)
    return total


def _parts(live: Sequence[Lot], free: int, due: int) -> tuple[Part, Part]:
    """Allowances and the rest. What is not free any more was taken from what ends first."""
    gone = max(sum(lot.remaining for lot in live) + due - free, 0)
    remaining = {True: due, False: 0}
    total = {True: due, False: 0}
    for lot in sorted(live, key=lambda lot: (lot.ends_at is None, lot.ends_at or 0)):
        taken = min(gone, lot.remaining)
        gone -= taken
        remaining[lot.recurs] += lot.remaining - taken
        total[lot.recurs] += lot.tokens
    return Part(total[True], remaining[True]), Part(total[False], remaining[False])
