"""The loops of the workers: drainers, sweepers and the upkeep of leases. Each may die, pause, or run twice at once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid5

from apps.core.errors import StoreUnavailable
from apps.limiter import api as limiter
from apps.limiter.api import AppliedKind, Entry, Mark, Purse, Recall, Sweep
from apps.quotas import leases
from simulator import admission, data
from simulator.figures import FIGURES
from simulator.ledger import Evidence
from simulator.postgres import LeaseRow, PartRow
from simulator.world import Process, Steps

if TYPE_CHECKING:
    from apps.limiter.twin import Twin
    from simulator.simulation import Simulation

DRAIN_MS = 6_000
UPKEEP_MS = 5_000
UNCONFIRMED_MS = 2 * leases.GRANT_MS
BATCH = 50
SWEEP = Sweep(
    limit=100, pass_ms=FIGURES.pass_ms, missed=FIGURES.missed_passes, quarantine=FIGURES.quarantine_passes,
    tombstone_ms=FIGURES.tombstone_ms,
)  # fmt: skip

PURSE_LOST = frozenset({AppliedKind.NOLEASE, AppliedKind.STALE, AppliedKind.RUN})

APPLIED = frozenset({AppliedKind.OK, AppliedKind.DUP})

T = TypeVar("T")

Pass = Callable[["Worker"], Steps[None]]


@dataclass(eq=False, slots=True)
class Worker:
    """A process that does one pass after another, and backs off when a store does not answer."""

    name: str
    simulation: "Simulation"
    work: Pass
    every_ms: int
    process: Process = field(init=False)
    last_ms: int = 0

    def __post_init__(self) -> None:
        self.process = Process(self.name)

    def start(self) -> None:
        """Begin a life."""
        self.process.start()
        self.last_ms = self.simulation.world.now
        self.simulation.world.spawn(self.process, self._forever())

    def kill(self) -> None:
        """SIGKILL."""
        self.process.die()

    def start_again(self, after: int) -> None:
        """A supervisor brings it back."""
        self.simulation.world.spawn(self.simulation.supervisor, self._start_later(), after)

    def _start_later(self) -> Steps[None]:
        if not self.process.alive:
            self.start()
        yield from ()

    def _forever(self) -> Steps[None]:
        while True:
            try:
                yield from self.work(self)
            except StoreUnavailable:
                yield 2_000
            yield self.simulation.world.rng.randint(self.every_ms // 2, self.every_ms * 3 // 2)

    def send(self, call: "limiter.Call[T]") -> Steps[T]:
        """One call to the Valkey that this process takes for the primary."""
        return self.simulation.valkeys.send(self.name, call)


# Drainer


def drain(worker: Worker) -> Steps[None]:
    """Book what every shard's journal has."""
    for shard in worker.simulation.shards:
        yield from _drain_shard(worker, shard)


def _drain_shard(worker: Worker, shard: int) -> Steps[None]:
    simulation = worker.simulation
    mark, entries = yield from simulation.valkeys.read(worker.name, _reader(shard))
    if not entries:
        return
    yield from _maybe_die(worker, "drainer died before its commit")
    yield from simulation.postgres.commit(lambda: simulation.bookkeeper.book(entries))
    yield from _maybe_die(worker, "drainer died between commit and drained")
    ids = [entry.id for entry in entries]
    yield from worker.send(limiter.drained_call(shard, mark.journal_id, ids[-1], ids))


def _reader(shard: int) -> "Callable[[Twin], tuple[Mark, list[Entry]]]":
    return lambda twin: (data.mark(twin, shard), data.journal(twin, shard, BATCH))


def _maybe_die(worker: Worker, fault: str) -> Steps[None]:
    world = worker.simulation.world
    if world.chance(worker.simulation.profile.drainer_dies):
        world.fault(fault, worker.name)
        worker.kill()
        worker.start_again(after=world.rng.randint(500, 10_000))
        yield 1


# Sweeper


def sweep(worker: Worker) -> Steps[None]:
    """A pass over every shard, if it is due; sometimes two at once."""
    world = worker.simulation.world
    twice = world.chance(worker.simulation.profile.sweeps_twice)
    if twice:
        world.fault("sweeper ran twice", worker.name)
    for shard in worker.simulation.shards:
        for _ in range(1 + twice):
            swept = yield from worker.send(limiter.sweep_call(shard, SWEEP))
            worker.simulation.counts["swept"] += swept.swept


# Upkeep


def keep_up(worker: Worker) -> Steps[None]:
    """Let the ledger's clock go on; renew, confirm, recall, doubt and close, each as a step of its own."""
    simulation = worker.simulation
    elapsed, worker.last_ms = simulation.world.now - worker.last_ms, simulation.world.now
    tick = yield from simulation.postgres.commit(lambda: simulation.ledger.tick(elapsed))
    ledger = simulation.ledger
    yield from _each(worker, [_keep(worker, lease) for lease in ledger.due_leases()])
    yield from _each(worker, [_confirm(worker, part) for part in ledger.unconfirmed_parts()])
    yield from _each(worker, [_try_to_close(worker, lease, tick) for lease in ledger.expired_doubts(tick)])


def _each(worker: Worker, works: list[Steps[None]]) -> Steps[None]:
    """All of it; what finds a store away is left for the next pass."""
    for work in works:
        try:
            yield from work
        except StoreUnavailable:
            worker.simulation.counts["upkeep delayed"] += 1


def _keep(worker: Worker, lease: LeaseRow) -> Steps[None]:
    """Prolong what is used, call back what is idle, doubt what has lost its purse."""
    ledger = worker.simulation.ledger
    purse = yield from _own_purse(worker, lease)
    if purse is None:
        if ledger.age_of(lease) >= UNCONFIRMED_MS or ledger.has_expired(lease):
            yield from _doubt(worker, lease)
    elif purse.closed:
        yield from _doubt(worker, lease)
    elif not ledger.is_used(lease) and not purse.live:
        yield from recall(worker, lease, 0, close=True)
        yield from _doubt(worker, lease)
    else:
        yield from _prolong(worker, lease, None)


def _prolong(worker: Worker, lease: LeaseRow, again: PartRow | None) -> Steps[bool]:
    """Give the purse another life, with a part that it may have already; the ledger's row gets it first."""
    simulation = worker.simulation
    now_ms = yield from simulation.valkeys.clock_of(worker.name)
    key = lease.account, lease.epoch
    part = yield from simulation.postgres.commit(lambda: simulation.ledger.renew(key, again))
    if part is None:
        return False
    applied = yield from worker.send(limiter.topup_call(admission.part_of_lease(part, now_ms)))
    if applied.kind in PURSE_LOST:
        yield from _doubt(worker, lease)
    return applied.kind in APPLIED


def _confirm(worker: Worker, part: PartRow) -> Steps[None]:
    """Learn whether a part is in its purse. One that opened its epoch is looked for, any other is sent again."""
    simulation = worker.simulation
    lease = simulation.postgres.tables.leases.get((part.account, part.epoch))
    if lease is None:
        return
    if part.opens:
        if (yield from _own_purse(worker, lease)) is None:
            yield from _doubt(worker, lease)
    elif not (yield from _prolong(worker, lease, part)):
        return
    yield from simulation.postgres.commit(lambda: simulation.ledger.confirm(part.id))


def _doubt(worker: Worker, lease: LeaseRow) -> Steps[None]:
    ledger, key = worker.simulation.ledger, (lease.account, lease.epoch)
    yield from worker.simulation.postgres.commit(lambda: ledger.doubt_if_open(key))


def recall(worker: Worker, lease: LeaseRow, tokens: int, *, close: bool) -> Steps[None]:
    """Take tokens out of the lease's purse; they come back by the journal."""
    simulation = worker.simulation
    simulation.counts["recalls"] += 1
    name = uuid5(leases.lease_id(lease.account, lease.epoch), "recall") if close else simulation.world.uuid()
    yield from worker.send(
        limiter.recall_call(Recall(name, lease.account, lease.generation, lease.epoch, tokens, close))
    )


def recall_quietly(worker: Worker, lease: LeaseRow, tokens: int) -> Steps[None]:
    """The same for who does not wait for it."""
    try:
        yield from recall(worker, lease, tokens, close=False)
    except StoreUnavailable:
        worker.simulation.counts["recalls given up"] += 1


def _try_to_close(worker: Worker, lease: LeaseRow, tick: int) -> Steps[None]:
    """Look at the purse and the mark, and then close, if the rule lets us with what was so when we looked.

    ``tick`` was read before: evidence must never be newer than it is taken for.
    """
    simulation = worker.simulation
    spools = simulation.ledger.open_spools()
    purse = yield from _own_purse(worker, lease)
    if purse is not None and not purse.closed:
        yield from recall(worker, lease, 0, close=True)
    shard = limiter.shard_of(lease.account)
    mark = yield from simulation.valkeys.read(worker.name, lambda twin: data.mark(twin, shard))
    evidence = Evidence(leases.Mark(mark.journal_id, mark.last, mark.at), spools, tokens_in(purse), tick)
    key = lease.account, lease.epoch
    closed = yield from simulation.postgres.commit(lambda: simulation.ledger.close(key, evidence))
    simulation.counts["leases closed"] += closed


def _own_purse(worker: Worker, lease: LeaseRow) -> Steps[Purse | None]:
    """The purse of this very lease, if the server that is there now has written it."""
    run_id, purse = yield from worker.simulation.valkeys.read_with_run(
        worker.name, lambda twin: data.purse(twin, lease.account)
    )
    if purse is None or (purse.run_id, purse.generation, purse.epoch) != (run_id, lease.generation, lease.epoch):
        return None
    return purse


def tokens_in(purse: Purse | None) -> int:
    """What a purse still has, and will give back by the journal."""
    return purse.available + purse.reserved + purse.quarantined if purse else 0
