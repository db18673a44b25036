"""PostgreSQL of a run: tables in memory; transactions that happen at once, or not, or without anybody being told."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from apps.core.errors import StoreUnavailable
from apps.quotas.booking import Ended
from apps.quotas.leases import LeaseState
from simulator.world import Steps, World

T = TypeVar("T")

LATENCY_MS = (2, 60)


@dataclass(slots=True)
class AccountRow:
    """Balances, in tokens: ``granted = available + leased + spent + refunded``. ``charged``: what its holds were."""

    granted: int = 0
    available: int = 0
    leased: int = 0
    spent: int = 0
    refunded: int = 0
    absorbed: int = 0
    epoch: int = 0
    charged: int = 0


@dataclass(slots=True)
class LeaseRow:
    """A lease as the table has it. Ticks are the ledger's own clock, ``opened_at`` and the like PostgreSQL's."""

    account: UUID
    epoch: int
    generation: int
    run_id: str
    granted: int = 0
    settled: int = 0
    returned: int = 0
    state: LeaseState = LeaseState.OPEN
    opened_at: int = 0
    part_at: int = 0
    used_at: int = 0
    expires_at: int = 0
    expires_tick: int = 0
    journal: str = ""
    entry: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it may be topped up."""
        return self.state is LeaseState.OPEN


@dataclass(slots=True)
class PartRow:
    """One debit of a lease, and whether it is known to be in the purse."""

    id: UUID
    account: UUID
    epoch: int
    tokens: int
    budgets: dict[str, int]
    opens: bool
    made_at: int
    applied: bool = False


@dataclass(slots=True)
class BudgetRow:
    """A budget's tokens that are given to leases, and those that are spent."""

    leased: int = 0
    spent: int = 0


@dataclass(slots=True)
class BudgetPart:
    """What a lease has of a budget, in tokens."""

    granted: int = 0
    settled: int = 0
    returned: int = 0

    @property
    def remaining(self) -> int:
        """Neither spent nor back."""
        return self.granted - self.settled - self.returned


@dataclass(slots=True)
class SpoolRow:
    """What a gateway's spool last reported."""

    reported_tick: int
    oldest_tick: int | None = None
    open: bool = True


@dataclass(slots=True)
class Tables:
    """Everything that is committed."""

    accounts: dict[UUID, AccountRow] = field(default_factory=dict)
    leases: dict[tuple[UUID, int], LeaseRow] = field(default_factory=dict)
    parts: dict[UUID, PartRow] = field(default_factory=dict)
    budgets: dict[str, BudgetRow] = field(default_factory=dict)
    budget_parts: dict[tuple[UUID, int, str], BudgetPart] = field(default_factory=dict)
    spools: dict[str, SpoolRow] = field(default_factory=dict)
    holds: dict[UUID, Ended] = field(default_factory=dict)
    transfers: set[tuple[str, UUID]] = field(default_factory=set)
    returns: set[UUID] = field(default_factory=set)
    generation: int = 1
    tick: int = 0


@dataclass(eq=False, slots=True)
class Postgres:
    """The server: when it is away, what its clock says, and how likely a commit stays unknown to its caller.

    ``moved``: tokens have moved since the books were last looked at.
    """

    world: World
    unknown: float = 0.0
    unanswered: int = 0
    away_until: int = 0
    moved: bool = True
    offset_ms: int = 0
    tables: Tables = field(default_factory=Tables)

    def clock(self) -> int:
        """What its wall clock says, in ms."""
        return self.world.now + self.offset_ms

    def commit(self, work: Callable[[], T]) -> Steps[T]:
        """Run a transaction. Work checks before it writes, so what it raises leaves nothing.

        Raises:
            StoreUnavailable: PostgreSQL is away; or the transaction was committed, but the answer was lost.
        """
        yield self.world.rng.randint(*LATENCY_MS)
        if self.away_until > self.world.now:
            raise StoreUnavailable("PostgreSQL is away")
        result = work()
        if self.unanswered or (self.unknown and self.world.chance(self.unknown)):
            self.unanswered = max(self.unanswered - 1, 0)
            self.world.fault("commit unknown")
            yield 1_000
            raise StoreUnavailable("the answer to COMMIT was lost")
        yield self.world.rng.randint(*LATENCY_MS)
        return result

    def backup(self) -> Tables:
        """A copy of everything as it is now."""
        return deepcopy(self.tables)
