"""Entries of a journal into tables in memory. What an entry means is the product's own rule; here it is carried out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from apps.limiter.api import Entry
from apps.quotas import booking
from apps.quotas.booking import Booking, Ended
from apps.quotas.domain import Status
from simulator import budgets
from simulator.ledger import Ledger
from simulator.oracle import Violation
from simulator.postgres import AccountRow, LeaseRow, Tables

LEDGERS_OWN = frozenset({"available", "leased", "spent", "absorbed"})


@dataclass(eq=False, slots=True)
class Bookkeeper:
    """What the drainer does in its transaction."""

    ledger: Ledger
    counts: Counter[str] = field(default_factory=Counter)

    def book(self, entries: Sequence[Entry]) -> None:
        """Book entries in their order; what is booked already changes nothing."""
        self.ledger.postgres.moved = True
        for entry in entries:
            if entry.account is not None:
                self._book(self.ledger.tables, entry, entry.account)

    def _book(self, tables: Tables, entry: Entry, account: UUID) -> None:
        row, lease = tables.accounts[account], tables.leases.get((account, entry.epoch))
        ref = booking.return_ref(entry)
        key, names = (account, entry.epoch), [move.id for move in entry.budgets]
        booked = booking.book(
            entry, self.ledger.as_lease(lease) if lease else None, tables.holds.get(entry.subject),
            available=row.available, is_returned=ref in tables.returns,
            budget_leases=budgets.parts_of(tables, key, names),
        )  # fmt: skip
        budgets.carry_out(tables, key, booked.budgets)
        self._carry_out(tables, booked, row, lease)
        if booked.returned or any(move.returned for move in booked.budgets):
            tables.returns.add(ref)
        if booked.ended is not None:
            self._remember(tables, entry.subject, booked.ended, row)
            self._count(booked)

    def _carry_out(self, tables: Tables, booked: Booking, row: AccountRow, lease: LeaseRow | None) -> None:
        for posting in booked.postings:
            move = posting.entry
            self.check_once(tables, (move.code, posting.ref))
            for balance, amount in ((move.debit, -move.amount), (move.credit, move.amount)):
                if balance in LEDGERS_OWN:
                    setattr(row, balance, getattr(row, balance) + amount)
        if lease is not None and (booked.settled or booked.returned):
            lease.settled += booked.settled
            lease.returned += booked.returned
            lease.used_at = self.ledger.postgres.clock()
            self.ledger.close_if_whole(lease)

    def check_once(self, tables: Tables, transfer: tuple[str, UUID]) -> None:
        """One code happens once for a reference, as the database has it."""
        if transfer in tables.transfers:
            raise Violation(f"the transfer {transfer} is made twice")
        tables.transfers.add(transfer)

    def _remember(self, tables: Tables, hold: UUID, ended: Ended, row: AccountRow) -> None:
        before = tables.holds.get(hold)
        if before is not None and before.status is not Status.EXPIRED:
            raise Violation(f"hold {hold} ended twice: {before}, then {ended}")
        row.charged += ended.charged - (before.charged if before else 0)
        tables.holds[hold] = ended
        self.ledger.oracle.hold_booked(hold, ended.charged)

    def _count(self, booked: Booking) -> None:
        self.counts["entries booked"] += 1
        self.counts["corrected"] += booked.corrects
        self.counts["booked late"] += any(posting.entry.code == "LATE" for posting in booked.postings)
