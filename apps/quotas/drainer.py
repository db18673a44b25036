"""The drainer: journal entries from Valkey are booked in PostgreSQL, each once, and then deleted there.

A pass reads the oldest entries of its shards, books them in one transaction and commits; only then Valkey is told.
Whoever dies in between leaves entries that are read again, found booked, and deleted. Any number of drainers may run
at once.

An entry that cannot be booked (of a batch, each is then tried alone) is tried in five passes and parked in
``quotas_dead_event`` for a person; the others of its shard go on meanwhile.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import orjson
import structlog
from django.db import Error as DatabaseError
from prometheus_client import Counter, Gauge

from apps.core.events import TOKEN_USAGE, Event
from apps.limiter.api import Call, Entry, EntryKind, Limiter, Mark, drained_call, journal_key, place
from apps.outbox import api as outbox
from apps.quotas import batch, domain, usage
from apps.quotas.booking import Booking, Ended, book
from apps.quotas.transactions import ledger_transaction

BATCH = 500
"""Entries of a shard that a pass reads, and of a transaction."""

TRIES = 5
"""Passes in which an entry is tried alone before it is parked."""

UNBOOKABLE = (DatabaseError, LookupError, ValueError, TypeError)
"""What an entry may raise that another try will not mend; a store that is away is another matter."""

log = structlog.get_logger(__name__)

_booked = Counter("leaky_journal_entries", "Journal entries booked in the ledger, by kind.", ["kind"])
_parked = Counter("leaky_journal_parked", "Journal entries that could not be booked and were parked.")
_waiting = Gauge("leaky_journal_waiting", "Entries that the latest pass of a drainer has met in its shards.")


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in a shard: its mark, and its oldest entries by their ids (None: nobody can read what it says)."""

    shard: int
    mark: Mark
    entries: Sequence[tuple[str, Entry | None]]


@dataclass(slots=True)
class Drainer:
    """Books the journals of some shards, pass after pass. It remembers nothing but how often an entry has failed."""

    limiter: Limiter
    shards: Sequence[int]
    _tries: dict[tuple[str, str], int] = field(default_factory=dict)

    def drain(self) -> int:
        """One pass; returns how many entries it has met.

        Raises:
            StoreUnavailable: PostgreSQL or Valkey did not answer; what was booked stays so, and nothing is lost.
        """
        waiting = [Waiting(*found) for found in self.limiter.journals(self.shards, BATCH)]
        met = sum(len(one.entries) for one in waiting)
        _waiting.set(met)
        batched: list[Waiting] = []
        for one in sorted(waiting, key=lambda found: len(found.entries)):
            if sum(len(other.entries) for other in batched) + len(one.entries) > BATCH:
                self._book(batched)
                batched = []
            if one.entries:
                batched.append(one)
        self._book(batched)
        return met

    def _book(self, waiting: Sequence[Waiting]) -> None:
        """Book what waits in some shards: together if it goes, else one by one."""
        if not waiting:
            return
        entries = [entry for one in waiting for _, entry in one.entries if entry is not None]
        try:
            if any(self._is_suspect(one) for one in waiting):
                raise LookupError("something of it has failed before")
            book_entries(entries)
        except UNBOOKABLE:
            for one in waiting:
                self._book_each(one)
            return
        self.limiter.run_all([_drained(one, [entry for entry, _ in one.entries]) for one in waiting])

    def _is_suspect(self, waiting: Waiting) -> bool:
        """Whether something of it has failed before, or cannot even be read."""
        journal = waiting.mark.journal_id
        return any(entry is None or (journal, entry_id) in self._tries for entry_id, entry in waiting.entries)

    def _book_each(self, waiting: Waiting) -> None:
        """The same entry by entry. The mark does not pass one that is still to be tried."""
        done: list[str] = []
        blocked: str | None = None
        for entry_id, entry in waiting.entries:
            if self._is_done(waiting, entry_id, entry):
                done.append(entry_id)
            else:
                blocked = blocked or entry_id
        if done:
            self.limiter.run(_drained(waiting, done, blocked=blocked))

    def _is_done(self, waiting: Waiting, entry_id: str, entry: Entry | None) -> bool:
        """Whether an entry is booked, or parked."""
        key = (waiting.mark.journal_id, entry_id)
        try:
            if entry is None:
                raise ValueError("the entry cannot be read")
            book_entries([entry])
        except UNBOOKABLE as error:
            tries = self._tries[key] = self._tries.get(key, 0) + 1
            log.warning("journal.entry_failed", shard=waiting.shard, entry=entry_id, tries=tries, reason=str(error))
            if tries < TRIES:
                return False
            self._park(waiting, entry_id, entry, error)
        self._tries.pop(key, None)
        return True

    def _park(self, waiting: Waiting, entry_id: str, entry: Entry | None, error: Exception) -> None:
        found: Any = self.limiter.ask(waiting.shard, "XRANGE", journal_key(waiting.shard), entry_id, entry_id)
        raw = found[0][1] if found else []
        fields = {
            name.decode(): base64.b64encode(value).decode() for name, value in zip(raw[::2], raw[1::2], strict=True)
        }
        journal = waiting.mark.journal_id
        with ledger_transaction() as cursor:
            cursor.execute(
                _PARK,
                [
                    uuid5(_DEAD, f"{journal}/{entry_id}"), waiting.shard, journal, entry_id,
                    entry.account if entry else None, orjson.dumps(fields).decode(),
                    f"{type(error).__name__}: {error}", TRIES,
                ],
            )  # fmt: skip
        _parked.inc()
        log.error("journal.entry_parked", shard=waiting.shard, entry=entry_id, reason=str(error))


def _drained(waiting: Waiting, done: Sequence[str], *, blocked: str | None = None) -> Call[bool]:
    """Say that ``done`` is booked. Up to where all is: to the end of what was read, or to before what is
    ``blocked``.
    """
    upto = "0-0"
    if blocked is None:
        # Read after the mark and to its end: all that the mark knew of is booked now, or was before.
        upto = waiting.mark.last if len(waiting.entries) < BATCH else ""
        upto = max(upto, waiting.entries[-1][0], key=place)
    else:
        upto = max((entry for entry in done if place(entry) < place(blocked)), key=place, default=upto)
    return drained_call(waiting.shard, waiting.mark.journal_id, upto, done)


_DEAD = UUID("7d9b8a8e-9c55-4c9e-8d51-7f0a0a3f7a02")
"""Name space of dead events' ids."""

_PARK = """
INSERT INTO quotas_dead_event (id, shard, journal, entry, account_id, fields, error, tries)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (journal, entry) DO NOTHING
"""


def book_entries(entries: Sequence[Entry]) -> None:
    """Book entries in one transaction, in their order, each once; repeated, they change nothing.

    Raises:
        StoreUnavailable: PostgreSQL did not answer; nothing, or all, is booked.
        django.db.Error, LookupError, ValueError, TypeError: one of them cannot be booked; none is.
    """
    events: list[Event] = []
    moving = [entry for entry in entries if entry.kind is not EntryKind.DENIED]
    with ledger_transaction() as cursor:
        if moving:
            books = batch.open_books(cursor, moving)
            for entry in moving:
                _book_one(books, entry, events)
            batch.close_books(cursor, books)
        events += [_denied_event(entry) for entry in entries if entry.kind is EntryKind.DENIED]
        if events:
            outbox.append_all(events)
    for entry in entries:
        _booked.labels(entry.kind.value).inc()


def _book_one(books: batch.Books, entry: Entry, events: list[Event]) -> None:
    account = batch.account_of(entry)
    lease = books.leases.get((account, entry.epoch))
    hold = None if entry.kind is EntryKind.RETURNED else books.ended.get(entry.subject)
    booking = book(
        entry, lease, hold,
        available=books.available[account], is_returned=books.is_returned(entry), budget_leases=books.parts_of(entry),
    )  # fmt: skip
    facts = usage.facts_from_bytes(entry.facts) if booking.ended else None
    books.add(entry, booking, facts.request_id if facts else "")
    if booking.ended is None or facts is None:
        return
    settlement = _settlement(entry, account)
    _keep_hold(books, entry, booking.ended, facts, settlement, is_new=hold is None)
    events.append(_usage_event(entry, booking, facts, settlement))


def _settlement(entry: Entry, account: UUID) -> domain.Settlement:
    if entry.kind is EntryKind.SWEPT:
        return domain.expiry(
            hold=entry.subject, account=account, progress=entry.charged, latency_ms=_milliseconds_of(entry)
        )  # fmt: skip
    return usage.settlement_of(entry.subject, account, entry.charged + entry.absorbed, orjson.loads(entry.payload))


def _keep_hold(
    books: batch.Books,
    entry: Entry,
    ended: Ended,
    facts: domain.CallFacts,
    settlement: domain.Settlement,
    *,
    is_new: bool,
) -> None:
    """A hold that ends twice in one batch is written once, as it was last."""
    row = batch.HoldRow(
        account=settlement.account, id=entry.subject, amount=entry.amount, ended=ended, progress=entry.progress,
        request_id=facts.request_id, epoch=entry.epoch, budgets=tuple(move.id for move in entry.budgets),
        facts=entry.facts.decode(), ending=_ending(entry, settlement),
        taken_at=_taken_at(entry), ended_at=_ended_at(entry),
    )  # fmt: skip
    books.ended[entry.subject] = ended
    held = books.new_holds if is_new or entry.subject in books.new_holds else books.changed_holds
    held[entry.subject] = row


def _ending(entry: Entry, settlement: domain.Settlement) -> str:
    """How the call ended, as the journal has it; the sweeper knows less, and what it knows is made here."""
    return entry.payload.decode() or usage.ending_to_bytes(settlement).decode()


def _usage_event(entry: Entry, booking: Booking, facts: domain.CallFacts, settlement: domain.Settlement) -> Event:
    moved = usage.Charge(booking.charged, 0 if booking.corrects else entry.amount, booking.absorbed)
    at = _ended_at(entry)
    data = usage.data_of(facts, settlement, moved, corrects=booking.corrects, occurred_at=at)
    return Event(
        id=usage.event_id(entry.subject, corrects=booking.corrects), type=TOKEN_USAGE, version=usage.VERSION,
        aggregate_type="account", aggregate_id=settlement.account, occurred_at=at, traceparent=facts.traceparent,
        data=dict(data),
    )  # fmt: skip


def _denied_event(entry: Entry) -> Event:
    """Refusals of a payer in a second, counted: the same topic, with ``allowed`` false."""
    told = orjson.loads(entry.payload)
    at = datetime.fromtimestamp(int(told["second"]), UTC)
    account = domain.account_id(told["payer_kind"], UUID(told["payer_id"]), told["provider"])
    return Event(
        id=entry.subject, type=TOKEN_USAGE, version=usage.VERSION, aggregate_type="account", aggregate_id=account,
        occurred_at=at, traceparent="", data=dict(usage.denied_data(account, told, occurred_at=at)),
    )  # fmt: skip


def _ended_at(entry: Entry) -> datetime:
    """By Valkey's clock, which numbers the entries."""
    return datetime.fromtimestamp(int(entry.id.partition("-")[0]) / 1000, UTC)


def _taken_at(entry: Entry) -> datetime:
    """Reservation ids are made when holds are taken, and carry the time."""
    if entry.subject.version == 7:
        return datetime.fromtimestamp((entry.subject.int >> 80) / 1000, UTC)
    return _ended_at(entry)


def _milliseconds_of(entry: Entry) -> int:
    return max(int((_ended_at(entry) - _taken_at(entry)).total_seconds() * 1000), 0)
