"""Leases: when an account gives tokens to Valkey, how many, and when they come back. Values and rules, no framework.

The rules look at what PostgreSQL has (under the account's lock) and at what a gateway saw in the purse. The simulator
drives exactly these functions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID, uuid5

from apps.core.errors import AccountSuspended, InsufficientBudget, InsufficientQuota, LeakyError, StoreUnavailable
from apps.quotas.domain import Allowance, Budget

GRANT_MS = 5_000
"""A part that has not reached its purse within this time never will, unless it is sent again."""

YOUNG_MS = 2_000
"""A lease this young may be on its way to a purse that does not show it yet."""

GENERATION_STEP = 1 << 32
"""Epochs of a later generation are above all of an earlier one, also after the ledger was restored to an older
state.
"""


@dataclass(frozen=True, slots=True)
class Need:
    """What a gateway needs for a call, and what it saw in the account's purse when the reservation was refused.

    ``amount`` is the hold's, in tokens. ``seen_epoch`` 0: there was no purse. ``purse_alive``: it had the run, the
    generation and a life left. ``budgets_in_purse`` has what the refusal told, ``granted_in_purse`` the purse's ``gr``
    (None: not known). ``burn``: tokens for which a lease should do, by what was used lately. ``quota_cap``: what the
    payer's tier may spend in a day (UTC).
    """

    account: UUID
    payer_kind: str
    payer_id: UUID
    provider: str
    amount: int
    budgets: tuple[Budget, ...] = ()
    run_id: str = ""
    generation: int = 1
    seen_epoch: int = 0
    purse_alive: bool = False
    available_in_purse: int = 0
    budgets_in_purse: Mapping[str, int] = field(default_factory=dict)
    granted_in_purse: int | None = None
    tier: str = ""
    allowances: tuple[Allowance, ...] = ()
    quota_cap: int | None = None
    burn: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """Tokens that PostgreSQL has given away: to be put into the account's purse, within :data:`GRANT_MS`.

    ``opens``: by ``grant``, sent once and never repeated; else by ``topup``, which may be. The purse may be spent from
    for ``ttl_ms``, and for ``passes`` passes of the sweeper; ``run_id`` is that of the server it is meant for.
    """

    id: UUID
    account: UUID
    generation: int
    epoch: int
    amount: int
    budgets: dict[str, int]
    opens: bool
    ttl_ms: int
    passes: int
    run_id: str


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Somebody else was faster, or the gateway's generation is old: adopt ``generation`` and reserve again."""

    generation: int
    epoch: int


class LeaseState(StrEnum):
    """Where a lease stands. In DOUBT it is not topped up any more, and waits for what its purse and calls still
    tell.
    """

    OPEN = "OPEN"
    DOUBT = "DOUBT"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as its row has it. ``age_ms`` since it was opened, ``part_age_ms`` since its latest part, in real time.

    ``expires_tick`` is by the ledger's own clock. ``journal`` and ``entry`` are what closing waits for, once begun.
    """

    account: UUID
    epoch: int
    generation: int
    granted: int
    settled: int
    returned: int
    state: LeaseState
    age_ms: int = 0
    part_age_ms: int = 0
    run_id: str = ""
    expires_tick: int = 0
    journal: str = ""
    entry: str = ""

    @property
    def remaining(self) -> int:
        """Tokens that are neither spent nor back: what the account's ``leased`` has of it."""
        return self.granted - self.settled - self.returned


@dataclass(frozen=True, slots=True)
class Funds:
    """An account's balances that matter to its leases, in tokens, and the epoch of its latest lease."""

    available: int
    leased: int
    held: int
    granted: int
    epoch: int
    spent_today: int = 0
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """What is taken of a budget, in tokens."""

    leased: int = 0
    held: int = 0
    spent: int = 0

    @property
    def taken(self) -> int:
        """All of it."""
        return self.leased + self.held + self.spent


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about a need. ``doubt``: why the OPEN lease goes into doubt, whatever else follows; empty: it does
    not.

    Then one of: ``refusal``, ``look_again``, or a part of ``tokens`` and ``budgets``: of the new epoch ``opens``, or of
    the OPEN lease's (``opens`` 0).
    """

    doubt: str = ""
    opens: int = 0
    tokens: int = 0
    budgets: dict[str, int] = field(default_factory=dict)
    look_again: bool = False
    refusal: LeakyError | None = None


def decide_lease(
    funds: Funds, lease: Lease | None, need: Need, *, generation: int, budgets: Mapping[str, BudgetUse]
) -> Decision:
    """What an account under its lock does about ``need``. ``lease`` is its OPEN one, ``generation`` the ledger's."""
    if need.generation != generation:
        return Decision(look_again=True)
    if funds.suspended:
        return Decision(refusal=AccountSuspended(f"account {need.account} is suspended"))
    doubt = ""
    if lease is not None:
        if need.seen_epoch == lease.epoch and need.purse_alive and lease.generation == generation:
            return _top_up(funds, lease, need, budgets)
        if need.seen_epoch != lease.epoch and lease.age_ms < YOUNG_MS and lease.generation == generation:
            return Decision(look_again=True)
        doubt = "purse lost" if lease.generation == generation else "generation"
    return _open(funds, need, generation, budgets, doubt=doubt)


def _open(funds: Funds, need: Need, generation: int, budgets: Mapping[str, BudgetUse], *, doubt: str) -> Decision:
    """A new epoch, if the account has enough for it. Tokens in doubt are not the payer's fault: that is no refusal."""
    room = room_of(funds, need.quota_cap)
    if room < need.amount:
        return Decision(doubt=doubt, refusal=_shortage(funds, need, missing=need.amount, in_doubt=funds.leased))
    parts = {budget.id: _budget_part(budget, need.amount, budgets, need.amount) for budget in need.budgets}
    for budget in need.budgets:
        if parts[budget.id] < need.amount:
            return Decision(doubt=doubt, refusal=_over_budget(budget, need.amount, budgets))
    epoch = next_epoch(max(funds.epoch, need.seen_epoch), generation)
    return Decision(doubt, epoch, part_size(missing=need.amount, need=need, room=room), parts)


def _top_up(funds: Funds, lease: Lease, need: Need, budgets: Mapping[str, BudgetUse]) -> Decision:
    """More for a living purse. What is missing may be on its way to it: then the gateway looks again."""
    missing = max(need.amount - need.available_in_purse, 0)
    room = room_of(funds, need.quota_cap)
    if room < missing:
        if _is_on_its_way(lease, need):
            return Decision(look_again=True)
        in_doubt = funds.leased - lease.remaining
        return Decision(refusal=_shortage(funds, need, missing=missing, in_doubt=in_doubt))
    parts: dict[str, int] = {}
    for budget in need.budgets:
        lacking = max(need.amount - need.budgets_in_purse.get(budget.id, 0), 0)
        part = _budget_part(budget, lacking, budgets, need.amount)
        if part < lacking and budget.id in need.budgets_in_purse:
            if _is_on_its_way(lease, need):
                return Decision(look_again=True)
            return Decision(refusal=_over_budget(budget, need.amount, budgets))
        if part:
            parts[budget.id] = part
    tokens = part_size(missing=missing, need=need, room=room)
    return Decision(tokens=tokens, budgets=parts, look_again=not tokens and not parts)


def part_size(*, missing: int, need: Need, room: int) -> int:
    """Tokens of a part: what is going to be used or four holds, but no more than a tenth of what is there; at least
    what is missing, and at most all.
    """
    wanted = min(max(need.burn, 4 * need.amount), room // 10)
    return min(max(wanted, missing), room)


def next_epoch(latest: int, generation: int) -> int:
    """Epochs of an account rise, over generations too."""
    return max(latest + 1, generation * GENERATION_STEP)


def room_of(funds: Funds, quota_cap: int | None) -> int:
    """What may be given away or held now: what is available, as far as the tier's cap for the day goes."""
    if quota_cap is None:
        return max(funds.available, 0)
    used = funds.spent_today + funds.leased + funds.held
    return max(min(funds.available, quota_cap - used), 0)


def _shortage(funds: Funds, need: Need, *, missing: int, in_doubt: int) -> LeakyError:
    if funds.available < missing <= funds.available + in_doubt:
        return StoreUnavailable(f"tokens of account {need.account} are being recovered")
    has = room_of(funds, need.quota_cap) + need.available_in_purse
    out = funds.leased + funds.held - need.available_in_purse
    cap = need.quota_cap if funds.available >= missing else None
    return InsufficientQuota(need.amount, has, max(out, 0), funds.granted, cap=cap)


def _budget_part(budget: Budget, missing: int, budgets: Mapping[str, BudgetUse], amount: int) -> int:
    if not missing:
        return 0
    free = max(budget.tokens - budgets.get(budget.id, BudgetUse()).taken, 0)
    return min(free, max(missing, min(4 * amount, free // 10)))


def _over_budget(budget: Budget, amount: int, budgets: Mapping[str, BudgetUse]) -> InsufficientBudget:
    use = budgets.get(budget.id, BudgetUse())
    return InsufficientBudget(amount, budget.tokens, use.spent, use.held + use.leased, budget.id)


def _is_on_its_way(lease: Lease, need: Need) -> bool:
    """Whether a part has been given away that the gateway did not see in the purse yet."""
    if need.granted_in_purse is None:
        return lease.part_age_ms < YOUNG_MS
    return need.granted_in_purse < lease.granted and lease.part_age_ms < GRANT_MS


@dataclass(frozen=True, slots=True)
class Mark:
    """A shard's journal: its identity, its last entry, and the entry up to which it is drained (``ms-n`` each)."""

    journal: str
    last: str
    drained: str

    @property
    def is_drained(self) -> bool:
        """Nothing waits in it."""
        return entry_order(self.drained) >= entry_order(self.last)


@dataclass(frozen=True, slots=True)
class SpoolReport:
    """When a spool last reported, and since when it waits for the ledger (None: for nothing); ledger's clock, ms."""

    reported_tick: int
    oldest_tick: int | None


def entry_order(entry: str) -> tuple[int, int]:
    """A stream entry's id as something that can be compared; the empty one is before all."""
    ms, _, number = entry.partition("-")
    return int(ms or 0), int(number or 0)


def may_close(
    lease: Lease, mark: Mark, spools: Sequence[SpoolReport], *, in_purse: int, now_tick: int, grace_ms: int
) -> bool:
    """Whether what a lease in doubt has left may go back to its account.

    ``grace_ms`` is the longest call and the skew; ``in_purse`` what a purse of this very lease, where it still is, has
    available, reserved or in quarantine: that comes back by the journal, not by this rule. Times are the ledger's own
    clock, which only ticks, so that no jump of a wall clock closes a lease whose calls are still under way.
    """
    over = lease.expires_tick + grace_ms
    if lease.state is not LeaseState.DOUBT or now_tick < over or in_purse:
        return False
    if not _is_drained(lease, mark):
        return False
    return all(
        spool.reported_tick > over and (spool.oldest_tick is None or spool.oldest_tick > over) for spool in spools
    )


def _is_drained(lease: Lease, mark: Mark) -> bool:
    """Empty now, or past the entry that was the last when closing was first thought of, in the same journal."""
    if mark.is_drained:
        return True
    return bool(lease.entry) and lease.journal == mark.journal and entry_order(mark.drained) >= entry_order(lease.entry)


def lease_id(account: UUID, epoch: int) -> UUID:
    """The one-column name of a lease; also the reference of its CLOSE transfer."""
    return uuid5(account, f"lease:{epoch}")
