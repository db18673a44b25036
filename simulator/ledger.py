"""The ledger's transactions over tables in memory. What is decided is decided by the product's own rules.

Each method is the inside of one transaction: :meth:`Postgres.commit` runs it whole or not at all. Rules are reached
through their module, so that a test can put another in the place of one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from apps.core.errors import LeakyError
from apps.quotas import leases
from apps.quotas.leases import Decision, Funds, Lease, LeaseState, LookAgain, Mark, Need, Part, SpoolReport
from simulator import budgets
from simulator.figures import FIGURES
from simulator.oracle import Oracle
from simulator.postgres import AccountRow, LeaseRow, PartRow, Postgres, SpoolRow, Tables

LONGEST_TICK_MS = 5_000


@dataclass(frozen=True, slots=True)
class Refused:
    """What a decision refused, after its doubt was committed."""

    error: LeakyError


class Evidence(NamedTuple):
    """What the closer saw, and the ledger's tick that it had read before."""

    mark: Mark
    spools: list[SpoolReport]
    in_purse: int
    tick: int


class AsOf(NamedTuple):
    """A moment of the ledger's own clock; ticks of another generation say nothing."""

    generation: int
    tick: int


@dataclass(eq=False, slots=True)
class Ledger:
    """Everything that PostgreSQL does for leases, but for booking what ended."""

    postgres: Postgres
    oracle: Oracle
    new_id: Callable[[], UUID]

    @property
    def tables(self) -> Tables:
        """What is committed."""
        return self.postgres.tables

    def grant(self, account: UUID, tokens: int) -> None:
        """Give an account tokens."""
        row = self.tables.accounts.setdefault(account, AccountRow())
        self.postgres.moved = True
        row.granted += tokens
        row.available += tokens
        self.oracle.grant(account, tokens)

    def refund(self, account: UUID, tokens: int) -> int:
        """Take back up to so many of the tokens that are free; returns how many."""
        row = self.tables.accounts[account]
        taken, self.postgres.moved = min(tokens, row.available), True
        row.available -= taken
        row.refunded += taken
        self.oracle.grant(account, -taken)
        return taken

    # Leases

    def ensure(self, need: Need) -> Part | LookAgain | Refused:
        """Under the account's lock: decide, and give away what was decided."""
        account, lease = self.tables.accounts[need.account], self.open_lease(need.account)
        seen = None if lease is None else self.as_lease(lease)
        decision = leases.decide_lease(
            self._funds(account), seen, need, generation=self.tables.generation,
            budgets=budgets.uses(self.tables, [budget.id for budget in need.budgets]),
        )  # fmt: skip
        if decision.doubt and lease:
            self.doubt(lease)
        if decision.refusal:
            return Refused(decision.refusal)
        if decision.opens:
            lease = self._open(need, decision.opens)
        if decision.look_again or lease is None:
            return LookAgain(self.tables.generation, lease.epoch if lease else 0)
        return self._give(account, lease, decision)

    def open_lease(self, account: UUID) -> LeaseRow | None:
        """The account's OPEN lease."""
        row = self.tables.leases.get((account, self.tables.accounts[account].epoch))
        return row if row and row.state is LeaseState.OPEN else None

    def as_lease(self, row: LeaseRow) -> Lease:
        """A row as the rules see it."""
        now = self.postgres.clock()
        return Lease(
            account=row.account, epoch=row.epoch, generation=row.generation, granted=row.granted,
            settled=row.settled, returned=row.returned, state=row.state, age_ms=now - row.opened_at,
            part_age_ms=now - row.part_at, expires_tick=row.expires_tick, run_id=row.run_id, journal=row.journal,
            entry=row.entry,
        )  # fmt: skip

    def _funds(self, row: AccountRow) -> Funds:
        return Funds(row.available, row.leased, 0, row.granted, row.epoch)

    def _open(self, need: Need, epoch: int) -> LeaseRow:
        now = self.postgres.clock()
        lease = LeaseRow(need.account, epoch, self.tables.generation, need.run_id, opened_at=now, used_at=now)
        self.tables.leases[need.account, epoch] = lease
        self.tables.accounts[need.account].epoch = epoch
        return lease

    def _give(self, account: AccountRow, lease: LeaseRow, decision: Decision) -> Part:
        tokens, opens, self.postgres.moved = decision.tokens, bool(decision.opens), True
        account.available -= tokens
        account.leased += tokens
        lease.granted += tokens
        now = self.postgres.clock()
        lease.part_at = lease.used_at = now
        self.prolong(lease)
        budgets.lease(self.tables, (lease.account, lease.epoch), decision.budgets)
        part = PartRow(self.new_id(), lease.account, lease.epoch, tokens, decision.budgets, opens, now)
        self.tables.parts[part.id] = part
        return self._part(lease, part)

    def _part(self, lease: LeaseRow, part: PartRow) -> Part:
        return Part(
            part.id, lease.account, lease.generation, lease.epoch, part.tokens, part.budgets, part.opens,
            FIGURES.lease_ms, passes=-(-FIGURES.lease_ms // FIGURES.pass_ms) + 1, run_id=lease.run_id,
        )  # fmt: skip

    def prolong(self, lease: LeaseRow) -> None:
        """The lease lives for another TTL from when the part may at latest reach its purse, by both clocks."""
        life = FIGURES.lease_ms + leases.GRANT_MS
        lease.expires_at = self.postgres.clock() + life
        lease.expires_tick = self.tables.tick + life

    def doubt(self, lease: LeaseRow) -> None:
        """The lease is not topped up any more."""
        lease.state = LeaseState.DOUBT

    # Upkeep

    def tick(self, elapsed_ms: int) -> int:
        """Let the ledger's own clock go on."""
        self.tables.tick += max(0, min(elapsed_ms, LONGEST_TICK_MS))
        return self.tables.tick

    def due_leases(self) -> list[LeaseRow]:
        """OPEN leases that have little life left by either clock, or none."""
        by_wall, by_tick = self.postgres.clock() + FIGURES.renew_ms, self.tables.tick + FIGURES.renew_ms
        rows = self.tables.leases.values()
        return [row for row in rows if row.is_open and (row.expires_at < by_wall or row.expires_tick < by_tick)]

    def unconfirmed_parts(self) -> list[PartRow]:
        """Parts of OPEN leases of which nobody knows whether they are in the purse."""
        until = self.postgres.clock() - 2 * leases.GRANT_MS
        return [
            part
            for part in self.tables.parts.values()
            if not part.applied and part.made_at < until and self.tables.leases[part.account, part.epoch].is_open
        ]

    def expired_doubts(self, tick: int) -> list[LeaseRow]:
        """Leases in doubt whose purse, wherever it is, cannot be spent from any more."""
        rows = self.tables.leases.values()
        return [row for row in rows if row.state is LeaseState.DOUBT and row.expires_tick <= tick]

    def age_of(self, lease: LeaseRow) -> int:
        """Since it was opened, by the wall clock, in ms."""
        return self.postgres.clock() - lease.opened_at

    def has_expired(self, lease: LeaseRow) -> bool:
        """Whether its time is up by the ledger's own clock."""
        return lease.expires_tick <= self.tables.tick

    def is_used(self, lease: LeaseRow) -> bool:
        """Whether a call or a part has used it since it was last prolonged; one in the future is a mistake."""
        return 0 <= self.postgres.clock() - lease.used_at < FIGURES.lease_ms - FIGURES.renew_ms

    def renew(self, key: tuple[UUID, int], part: PartRow | None) -> Part | None:
        """Prolong an OPEN lease; its purse may have the part already. None: it is not OPEN any more."""
        lease = self.tables.leases.get(key)
        if lease is None or not lease.is_open:
            return None
        self.prolong(lease)
        nothing = PartRow(self.new_id(), *key, 0, {}, opens=False, made_at=0)
        return self._part(lease, part or nothing)

    def confirm(self, part: UUID) -> None:
        """The part is in its purse."""
        if row := self.tables.parts.get(part):
            row.applied = True

    def doubt_if_open(self, key: tuple[UUID, int]) -> None:
        """A lease whose purse is lost, or was called back."""
        lease = self.tables.leases.get(key)
        if lease and lease.is_open:
            self.doubt(lease)
            self.close_if_whole(lease)

    def open_spools(self) -> list[SpoolReport]:
        """What the spools that count have last reported."""
        return [SpoolReport(row.reported_tick, row.oldest_tick) for row in self.tables.spools.values() if row.open]

    def close(self, key: tuple[UUID, int], seen: "Evidence") -> bool:
        """Give what a lease in doubt has left back to its account, if the rule allows it by what was seen."""
        lease = self.tables.leases.get(key)
        if lease is None or lease.state is not LeaseState.DOUBT:
            return False
        grace_ms = FIGURES.call_ms + FIGURES.skew_ms
        closing = leases.may_close(
            self.as_lease(lease), seen.mark, seen.spools, in_purse=seen.in_purse, now_tick=seen.tick,
            grace_ms=grace_ms,
        )  # fmt: skip
        if closing:
            self._close(lease)
        elif lease.journal != seen.mark.journal and seen.tick >= lease.expires_tick + grace_ms:
            lease.journal, lease.entry = seen.mark.journal, seen.mark.last
        return closing

    def close_if_whole(self, lease: LeaseRow) -> None:
        """Nothing of the lease is out any more."""
        if lease.settled + lease.returned == lease.granted and lease.state is LeaseState.DOUBT:
            lease.state = LeaseState.CLOSED
            budgets.release(self.tables, (lease.account, lease.epoch))

    def _close(self, lease: LeaseRow) -> None:
        left, self.postgres.moved = lease.granted - lease.settled - lease.returned, True
        account = self.tables.accounts[lease.account]
        account.leased -= left
        account.available += left
        lease.returned += left
        self.close_if_whole(lease)

    # Spools

    def report_spool(self, spool: str, oldest_age_ms: int | None, as_of: "AsOf | None") -> "AsOf":
        """A gateway says for how long its oldest entry has waited for the ledger, as of a tick that it was told before.

        ``as_of`` None: it registers, and has nothing. Returns what the next report is to be as of.
        """
        present = AsOf(self.tables.generation, self.tables.tick)
        as_of = as_of or present
        tick = as_of.tick if as_of.generation == present.generation else 0
        self.tables.spools[spool] = SpoolRow(tick, None if oldest_age_ms is None else tick - oldest_age_ms)
        return present

    def end_spool(self, spool: str) -> None:
        """A spool is covered whole, or written off."""
        if row := self.tables.spools.get(spool):
            row.open = False

    def restore(self, tables: Tables) -> None:
        """An older state of the database comes back, and with it a new generation."""
        lost, self.postgres.tables, self.postgres.moved = self.tables, tables, True
        for account, row in tables.accounts.items():
            was = lost.accounts[account]
            self.oracle.grant(account, row.granted - row.refunded - was.granted + was.refunded)
        tables.generation = lost.generation + 1
        for lease in tables.leases.values():
            if lease.state is not LeaseState.CLOSED:
                self.doubt(lease)
                lease.expires_tick = max(lease.expires_tick, tables.tick + FIGURES.lease_ms + leases.GRANT_MS)
        self.oracle.restored(tables.generation, {hold: row.charged for hold, row in tables.holds.items()})
