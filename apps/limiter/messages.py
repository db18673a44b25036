"""What is asked of the limiter, and what it answers. Amounts are tokens, times Unix ms by Valkey's clock."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from apps.limiter.domain import Decision, Policy

JOURNAL_LIMIT = 1_000_000 // 64
"""Entries that may wait in a shard's journal before calls are refused."""

Budgets = tuple[tuple[str, int], ...]
"""Tokens for each budget, by its id."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A call's idempotency key: its SHA-256 in hex, the fingerprint of the request, how long it is remembered."""

    key: str
    fingerprint: str
    ttl_ms: int


@dataclass(slots=True, unsafe_hash=True)
class Order:
    """A call that asks to be admitted: at most ``amount`` tokens, against all limits of ``policy`` and each budget.

    ``credential`` and ``user`` are opaque ids; ``token_version`` None: the credential carries none. ``facts`` are what
    the ledger wants to know of the call; they go through the journal as they are. Budget ids contain no spaces.
    """

    hold: UUID
    account: UUID
    amount: int
    generation: int
    credential: str
    user: str
    token_version: int | None
    facts: bytes
    budgets: tuple[str, ...]
    policy: Policy
    claim: Claim | None = None
    journal_limit: int = JOURNAL_LIMIT


@dataclass(slots=True, unsafe_hash=True)
class Requests:
    """Requests per minute: the limit, how many more would be admitted now, and in how many ms all would be."""

    limit: int
    remaining: int
    reset_ms: int


@dataclass(slots=True, unsafe_hash=True)
class Admitted:
    """The call may start in ``start_in_ms``. ``low``: less than half of what the purse had after its last part is left.

    ``available`` is what the purse has left for others, ``live`` how many calls of the account are under way with this
    one, ``lease_left_ms`` how long the purse may be spent from, ``poured_ms`` when the bucket was asked.
    """

    epoch: int
    available: int
    low: bool
    lease_left_ms: int
    live: int
    decision: Decision
    requests: Requests | None
    poured_ms: int

    @property
    def start_in_ms(self) -> int:
        """How long the call must wait before it starts; 0 unless it is shaped."""
        return self.decision.start_in_ms


class RefusalKind(StrEnum):
    """Which check a call did not pass."""

    DEAD = "dead"
    RUNNING = "running"
    MISMATCH = "mismatch"
    REPLAY = "replay"
    DUP = "dup"
    NOLEASE = "nolease"
    BACKLOG = "backlog"
    CONCURRENCY = "concurrency"
    RPM = "rpm"
    FULL = "full"
    NEVER = "never"
    BUDGET = "budget"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Nothing was changed. What a person needs to be told of the limit that refused:

    ========== ========================= ============================== ============= ========= =====================
    kind       limit                     used                           held          available wait_ms
    ========== ========================= ============================== ============= ========= =====================
    nolease
    backlog    entries that may wait     that wait
    concurrency calls at once            under way
    rpm        requests per minute       counted                                      left      exact
    full       capacity                  level                                        room      exact
    never      capacity                  level                                        room
    budget                                                                            of part
    low        granted into the epoch    spent                          reserved      left
    ========== ========================= ============================== ============= ========= =====================

    ``epoch`` is that of the purse that is there, 0 if none, and ``purse_alive`` says whether it may be spent from.
    ``hold`` is whose claim stands in the way (running, mismatch, replay); ``stored``: its answer was kept. ``run_id``
    and ``now_ms`` are of the server that refused: a lease that is taken because of it is for that run, by that clock.
    """

    kind: RefusalKind
    now_ms: int
    epoch: int = 0
    purse_alive: bool = False
    limit: int = 0
    used: int = 0
    held: int = 0
    available: int = 0
    wait_ms: int = 0
    budget: str = ""
    hold: UUID | None = None
    stored: bool = False
    run_id: str = ""


class ClaimEnd(StrEnum):
    """What becomes of an idempotency claim: the call is done, or its answer is stored, or the key is free again."""

    DONE = "done"
    STORED = "stored"
    FREE = "free"


@dataclass(slots=True, unsafe_hash=True)
class Ending:
    """A call that ended, having used ``actual`` tokens. All but ``actual`` and what follows is as it was admitted.

    ``facts`` None: a hold that Valkey does not know is left alone; given, it is noted for the ledger. ``before_start``:
    it left the queue of a shaped bucket. ``tombstone_ms`` is how long its end is remembered.
    """

    hold: UUID
    account: UUID
    epoch: int
    generation: int
    amount: int
    policy: Policy
    actual: int
    payload: bytes
    tombstone_ms: int
    facts: bytes | None = None
    budgets: tuple[str, ...] = ()
    claim: str | None = None
    claim_end: ClaimEnd | None = None
    before_start: bool = False


class EndedKind(StrEnum):
    """What a settlement did: ended a live hold, corrected a swept one, nothing (again, unknown), or only noted it."""

    SETTLED = "settled"
    CORRECTED = "corrected"
    REPEATED = "repeated"
    UNKNOWN = "unknown"
    NOTED = "noted"


@dataclass(slots=True, unsafe_hash=True)
class Ended:
    """What a hold came to, and where the journal has it: the identity of the journal and the id of the entry."""

    kind: EndedKind
    charged: int
    absorbed: int
    journal_id: str
    entry_id: str


class Pulse(StrEnum):
    """What a heartbeat hears. Anything but ``ok``: the call is to be cut."""

    OK = "ok"
    SWEPT = "swept"
    ENDED = "ended"
    UNKNOWN = "unknown"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign of life of a hold, with what its call has cost so far."""

    hold: UUID
    account: UUID
    progress: int
    credential: str
    user: str
    token_version: int | None


class ExtendedKind(StrEnum):
    """Whether a hold grew; ``lost``: it has ended, or its purse is another one now, or none that may be spent from."""

    OK = "ok"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Extended:
    """A hold's amount after it was to grow, and what the purse has left. Where it had too little: a refusal."""

    kind: ExtendedKind
    amount: int
    available: int


@dataclass(frozen=True, slots=True)
class PartOfLease:
    """Tokens that PostgreSQL has debited, on their way into a purse. May be 0: then it only prolongs.

    ``run_id`` is that of the server for which the lease was taken. The purse may be spent from for ``ttl_ms``, and for
    no more than ``passes`` passes of the sweeper. After ``not_after_ms``, by the purse's clock, it comes too late.
    """

    id: UUID
    account: UUID
    generation: int
    epoch: int
    run_id: str
    amount: int
    budgets: Budgets
    ttl_ms: int
    passes: int
    not_after_ms: int


class AppliedKind(StrEnum):
    """Whether a part is in the purse: ``dup`` says that it was already."""

    OK = "ok"
    DUP = "dup"
    LATE = "late"
    STALE = "stale"
    RUN = "run"
    NOLEASE = "nolease"


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a part, and what the purse has available after it."""

    kind: AppliedKind
    available: int


@dataclass(frozen=True, slots=True)
class Recall:
    """Take up to ``amount`` out of what is available. ``close`` takes all and ends the epoch.

    What the holds of a closed epoch leave is returned as they end.
    """

    id: UUID
    account: UUID
    generation: int
    epoch: int
    amount: int
    close: bool


class RecalledKind(StrEnum):
    """Whether a recall was made: ``dup`` says that it was already, ``stale`` that the purse is another one."""

    OK = "ok"
    DUP = "dup"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Recalled:
    """How many tokens the journal returns, and by which entry ("" when there was nothing to return)."""

    kind: RecalledKind
    tokens: int
    journal_id: str
    entry_id: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """The figures of a sweep: how many holds at most, ms between passes, after how many missed ones a hold is dead.

    ``quarantine`` is how many passes the rest of a swept hold is kept back.
    """

    limit: int
    pass_ms: int
    missed: int
    quarantine: int
    tombstone_ms: int


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did. ``more``: it met its limit, and is to be called again for the same pass."""

    number: int
    swept: int
    freed: int
    more: bool


@dataclass(frozen=True, slots=True)
class Purse:
    """What a purse holds: ``granted`` = available + reserved + spent + quarantined + returned."""

    run_id: str
    generation: int
    epoch: int
    expires_ms: int
    closed: bool
    granted: int
    available: int
    reserved: int
    spent: int
    quarantined: int
    returned: int
    live: int
    used_ms: int
    budgets: Budgets
