"""A batch of journal entries on its way into the ledger: what is there is read and locked, then all is written at once.

Accounts are locked in the order of their ids, then leases, then budgets: as everywhere in the ledger. Reading comes
after locking, so that of two drainers with the same entries the second finds them booked.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

import orjson
from django.db.backends.utils import CursorWrapper

from apps.core.ids import uuid7
from apps.limiter.api import Entry
from apps.quotas import budgets
from apps.quotas.booking import RETURNED, Booking, Ended, return_ref
from apps.quotas.domain import Status
from apps.quotas.leases import Lease, LeaseState

LeaseKey = tuple[UUID, int]
"""Account and epoch."""


@dataclass(frozen=True, slots=True)
class HoldRow:
    """A hold as it is written."""

    account: UUID
    id: UUID
    amount: int
    ended: Ended
    progress: int
    request_id: str
    epoch: int
    budgets: tuple[str, ...]
    facts: str
    ending: str
    taken_at: datetime
    ended_at: datetime


@dataclass(slots=True)
class BudgetPart:
    """What a lease has of a budget."""

    granted: int
    settled: int
    returned: int
    returned_by: UUID | None


@dataclass(slots=True)
class Books:
    """The rows that a batch may change, as they are and then as they become."""

    available: dict[UUID, int]
    leases: dict[LeaseKey, Lease]
    ended: dict[UUID, Ended]
    returned: set[tuple[UUID, UUID]]
    budget_parts: dict[tuple[UUID, int, str], BudgetPart]
    transfers: list[tuple[UUID, str, str, str, int, UUID, str]] = field(default_factory=list)
    new_holds: dict[UUID, HoldRow] = field(default_factory=dict)
    changed_holds: dict[UUID, HoldRow] = field(default_factory=dict)
    used: set[LeaseKey] = field(default_factory=set)
    budgets_settled: dict[str, list[int]] = field(default_factory=dict)

    def parts_of(self, entry: Entry) -> dict[str, tuple[int, int]]:
        """What the lease of an entry has of the entry's budgets: (remaining, settled)."""
        found = {}
        for move in entry.budgets:
            part = self.budget_parts.get((account_of(entry), entry.epoch, move.id))
            if part is not None:
                found[move.id] = (part.granted - part.settled - part.returned, part.settled)
        return found

    def is_returned(self, entry: Entry) -> bool:
        """Whether what an entry brings back is in the ledger."""
        account = account_of(entry)
        if entry.returned:
            return (account, return_ref(entry)) in self.returned
        if entry.kind != RETURNED:
            return False
        parts = (self.budget_parts.get((account, entry.epoch, move.id)) for move in entry.budgets)
        return any(part is not None and part.returned_by == entry.subject for part in parts)

    def add(self, entry: Entry, booking: Booking, request_id: str) -> None:
        """Take over what a booking changes, so that the next entry finds it."""
        account = account_of(entry)
        self.available[account] += booking.available
        for posting in booking.postings:
            moved = posting.entry
            self.transfers.append(
                (account, moved.code.value, moved.debit, moved.credit, moved.amount, posting.ref, request_id)
            )
        if booking.returned:
            self.returned.add((account, return_ref(entry)))
        key = (account, entry.epoch)
        lease = self.leases.get(key)
        if lease is not None and (booking.settled or booking.returned):
            self.leases[key] = replace(
                lease, settled=lease.settled + booking.settled, returned=lease.returned + booking.returned
            )
            self.used.add(key)
        self._add_budgets(entry, booking)

    def _add_budgets(self, entry: Entry, booking: Booking) -> None:
        for moved in booking.budgets:
            part = self.budget_parts.get((account_of(entry), entry.epoch, moved.id))
            if part is not None:
                part.settled += moved.settled
                part.returned += moved.returned
                if entry.kind == RETURNED and not entry.returned:
                    part.returned_by = entry.subject
            totals = self.budgets_settled.setdefault(moved.id, [0, 0])
            totals[0] += moved.settled + moved.returned
            totals[1] += moved.spent


def account_of(entry: Entry) -> UUID:
    """The account that an entry moves.

    Raises:
        LookupError: it names none.
    """
    if entry.account is None:
        raise LookupError(f"entry {entry.id} of kind {entry.kind} names no account")
    return entry.account


def open_books(cursor: CursorWrapper, entries: Sequence[Entry]) -> Books:
    """Lock and read all rows that these entries may change.

    Raises:
        LookupError: an entry names no account, or one that is not there.
    """
    accounts = {account_of(entry) for entry in entries}
    available = _lock_accounts(cursor, accounts)
    leases = _lock_leases(cursor, {(account_of(entry), entry.epoch) for entry in entries})
    budgets.lock(cursor, {move.id for entry in entries for move in entry.budgets})
    return Books(
        available,
        leases,
        _read_ended(cursor, {(account_of(entry), entry.subject) for entry in entries if entry.kind != RETURNED}),
        _read_returned(cursor, {(account_of(entry), return_ref(entry)) for entry in entries if entry.returned}),
        _read_budget_parts(cursor, {(account_of(entry), entry.epoch) for entry in entries if entry.budgets}),
    )


def _lock_accounts(cursor: CursorWrapper, accounts: Collection[UUID]) -> dict[UUID, int]:
    cursor.execute(
        "SELECT id, available FROM quotas_account WHERE id = ANY(%s) ORDER BY id FOR UPDATE", [list(accounts)]
    )
    available = dict(cursor.fetchall())
    missing = set(accounts) - available.keys()
    if missing:
        raise LookupError(f"no such account: {', '.join(map(str, sorted(missing)))}")
    return available


def _lock_leases(cursor: CursorWrapper, keys: Collection[LeaseKey]) -> dict[LeaseKey, Lease]:
    cursor.execute(_LEASES, _columns(keys))
    return {
        (account, epoch): Lease(account, epoch, generation, granted, settled, returned, LeaseState(state))
        for account, epoch, generation, granted, settled, returned, state in cursor.fetchall()
    }


_LEASES = """
SELECT lease.account_id, lease.epoch, generation, granted, settled, returned, state
FROM quotas_lease AS lease JOIN unnest(string_to_array(%s, ' ')::uuid[], string_to_array(%s, ' ')::bigint[]) AS named
(account_id, epoch)
     ON lease.account_id = named.account_id AND lease.epoch = named.epoch
ORDER BY lease.account_id, lease.epoch FOR UPDATE OF lease
"""


def _read_ended(cursor: CursorWrapper, keys: Collection[tuple[UUID, UUID]]) -> dict[UUID, Ended]:
    cursor.execute(_ENDED, _columns(keys))
    return {hold: Ended(Status(status), charged, absorbed) for hold, status, charged, absorbed in cursor.fetchall()}


_ENDED = """
SELECT hold.id, status, charged, absorbed
FROM quotas_hold AS hold JOIN unnest(string_to_array(%s, ' ')::uuid[], string_to_array(%s, ' ')::uuid[]) AS named
(account_id, id)
     ON hold.account_id = named.account_id AND hold.id = named.id
"""


def _read_returned(cursor: CursorWrapper, keys: Collection[tuple[UUID, UUID]]) -> set[tuple[UUID, UUID]]:
    if not keys:
        return set()
    cursor.execute(_RETURNS, _columns(keys))
    return set(cursor.fetchall())


_RETURNS = """
SELECT transfer.account_id, transfer.ref
FROM quotas_transfer AS transfer JOIN unnest(string_to_array(%s, ' ')::uuid[], string_to_array(%s, ' ')::uuid[]) AS
named (account_id, ref)
     ON transfer.account_id = named.account_id AND transfer.ref = named.ref AND transfer.code = 'RETURN'
"""


def _read_budget_parts(cursor: CursorWrapper, keys: Collection[LeaseKey]) -> dict[tuple[UUID, int, str], BudgetPart]:
    if not keys:
        return {}
    cursor.execute(_BUDGET_PARTS, _columns(keys))
    return {(account, epoch, budget): BudgetPart(*rest) for account, epoch, budget, *rest in cursor.fetchall()}


_BUDGET_PARTS = """
SELECT part.account_id, part.epoch, part.budget_id, granted, settled, returned, returned_by
FROM quotas_budget_lease AS part JOIN unnest(string_to_array(%s, ' ')::uuid[], string_to_array(%s, ' ')::bigint[]) AS
named (account_id, epoch)
     ON part.account_id = named.account_id AND part.epoch = named.epoch
"""


def close_books(cursor: CursorWrapper, books: Books) -> None:
    """Write all that the batch has changed."""
    if books.new_holds:
        cursor.execute(_INSERT_HOLDS, [_holds(books.new_holds.values())])
    if books.changed_holds:
        cursor.execute(_UPDATE_HOLDS, [_holds(books.changed_holds.values())])
    if books.transfers:
        names = ("account_id", "code", "debit", "credit", "amount", "ref", "request_id", "id")
        cursor.execute(_POST, [_records(names, [(*row, uuid7()) for row in books.transfers])])
    if books.used:
        rows = [(*key, books.leases[key].settled, books.leases[key].returned) for key in books.used]
        cursor.execute(_UPDATE_LEASES, [_records(("account_id", "epoch", "settled", "returned"), rows)])
    if books.budgets_settled:
        _write_budgets(cursor, books)
    close_completed(cursor, books.used)


_HOLD = (
    "account_id", "id", "amount", "status", "charged", "absorbed", "progress", "request_id", "epoch", "budgets",
    "facts", "ending", "taken_at", "ended_at",
)  # fmt: skip

_HOLD_ROWS = """
    json_to_recordset(%s) AS row (
        account_id uuid, id uuid, amount bigint, status text, charged bigint, absorbed bigint, progress bigint,
        request_id text, epoch bigint, budgets text[], facts text, ending text, taken_at timestamptz,
        ended_at timestamptz
    )
"""

_INSERT_HOLDS = f"""
INSERT INTO quotas_hold (account_id, id, amount, status, charged, absorbed, progress, request_id, epoch, budgets, facts,
                         ending, taken_at, expires_at, ended_at)
SELECT account_id, id, amount, status, charged, absorbed, progress, request_id, epoch, budgets, facts::jsonb,
       ending::jsonb, taken_at, ended_at, ended_at
FROM {_HOLD_ROWS}
"""  # noqa: S608 (no value is in it)

_UPDATE_HOLDS = f"""
UPDATE quotas_hold AS hold SET
    status = row.status, charged = row.charged, absorbed = row.absorbed, ending = row.ending::jsonb,
    ended_at = row.ended_at
FROM {_HOLD_ROWS}
WHERE hold.account_id = row.account_id AND hold.id = row.id
"""  # noqa: S608 (no value is in it)

_POST = """
INSERT INTO quotas_transfer (id, account_id, code, debit, credit, amount, ref, request_id)
SELECT id, account_id, code, debit, credit, amount, ref, request_id
FROM json_to_recordset(%s) AS row (
    id uuid, account_id uuid, code text, debit text, credit text, amount bigint, ref uuid, request_id text
)
"""

_UPDATE_LEASES = """
UPDATE quotas_lease AS lease SET settled = row.settled, returned = row.returned, used_at = clock_timestamp()
FROM json_to_recordset(%s) AS row (account_id uuid, epoch bigint, settled bigint, returned bigint)
WHERE lease.account_id = row.account_id AND lease.epoch = row.epoch
"""


def _holds(rows: Iterable[HoldRow]) -> str:
    return _records(
        _HOLD,
        [
            (
                row.account, row.id, row.amount, row.ended.status, row.ended.charged, row.ended.absorbed, row.progress,
                row.request_id, row.epoch, row.budgets, row.facts, row.ending, row.taken_at,
                row.ended_at,
            )
            for row in rows
        ],
    )  # fmt: skip


def _write_budgets(cursor: CursorWrapper, books: Books) -> None:
    parts = [(*key, part.settled, part.returned, part.returned_by) for key, part in books.budget_parts.items()]
    names = ("account_id", "epoch", "budget_id", "settled", "returned", "returned_by")
    cursor.execute(_UPDATE_BUDGET_PARTS, [_records(names, parts)])
    _move_budgets(cursor, [(name, back, spent) for name, (back, spent) in books.budgets_settled.items()])


_UPDATE_BUDGET_PARTS = """
UPDATE quotas_budget_lease AS part SET
    settled = row.settled, returned = row.returned, returned_by = row.returned_by
FROM json_to_recordset(%s) AS row (
    account_id uuid, epoch bigint, budget_id text, settled bigint, returned bigint, returned_by uuid
)
WHERE part.account_id = row.account_id AND part.epoch = row.epoch AND part.budget_id = row.budget_id
"""


def _move_budgets(cursor: CursorWrapper, rows: Sequence[tuple[str, int, int]]) -> None:
    cursor.execute(_UPDATE_BUDGETS, [_records(("id", "back", "spent"), rows)])


_UPDATE_BUDGETS = """
UPDATE quotas_budget AS kept SET leased = kept.leased - row.back, spent = greatest(kept.spent + row.spent, 0)
FROM json_to_recordset(%s) AS row (id text, back bigint, spent bigint) WHERE kept.id = row.id
"""


def close_completed(cursor: CursorWrapper, keys: Collection[LeaseKey]) -> int:
    """Close those of these leases that are in doubt and have nothing left to wait for; returns how many."""
    if not keys:
        return 0
    cursor.execute(_CLOSE, _columns(keys))
    closed = cursor.fetchall()
    release_budgets(cursor, closed)
    return len(closed)


_CLOSE = """
UPDATE quotas_lease AS lease SET state = 'CLOSED', closed_at = clock_timestamp()
FROM unnest(string_to_array(%s, ' ')::uuid[], string_to_array(%s, ' ')::bigint[]) AS row (account_id, epoch)
WHERE lease.account_id = row.account_id AND lease.epoch = row.epoch
      AND lease.state = 'DOUBT' AND lease.settled + lease.returned = lease.granted
RETURNING lease.account_id, lease.epoch
"""


def release_budgets(cursor: CursorWrapper, keys: Collection[LeaseKey]) -> None:
    """What closed leases have of budgets is free again."""
    if not keys:
        return
    cursor.execute(_LEFT_OF_BUDGETS, _columns(keys))
    left = cursor.fetchall()
    if left:
        budgets.lock(cursor, {name for name, _ in left})
        _move_budgets(cursor, [(name, tokens, 0) for name, tokens in left])
        cursor.execute(_END_BUDGET_PARTS, _columns(keys))


_LEFT_OF_BUDGETS = """
SELECT part.budget_id, sum(part.granted - part.settled - part.returned)::bigint FROM quotas_budget_lease AS part
JOIN unnest(string_to_array(%s, ' ')::uuid[], string_to_array(%s, ' ')::bigint[]) AS row (account_id, epoch)
     ON part.account_id = row.account_id AND part.epoch = row.epoch
WHERE part.granted > part.settled + part.returned GROUP BY part.budget_id
"""

_END_BUDGET_PARTS = """
UPDATE quotas_budget_lease AS part SET returned = part.granted - part.settled
FROM unnest(string_to_array(%s, ' ')::uuid[], string_to_array(%s, ' ')::bigint[]) AS row (account_id, epoch)
WHERE part.account_id = row.account_id AND part.epoch = row.epoch
"""


def _columns(keys: Collection[tuple[object, object]]) -> list[str]:
    """Keys as two columns, for ``unnest``: text is cheaper to make than arrays."""
    listed = list(keys)
    return [" ".join([str(first) for first, _ in listed]), " ".join([str(second) for _, second in listed])]


def _records(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows for ``json_to_recordset``."""
    return orjson.dumps([dict(zip(names, row, strict=True)) for row in rows]).decode()
