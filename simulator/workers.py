"""The loops of the workers: drainers, sweepers and the upkeep of leases. Each may die, pause, or run twice at once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from apps.core.errors import StoreUnavailable
from apps.limiter import api as limiter
from apps.limiter.api import AppliedKind, Entry, Mark, Purse, Recall, Sweep
from apps.limiter.twin import Twin
from apps.quotas import leases
from apps.quotas.leases import LeaseState
from simulator import admission, data
from simulator.figures import FIGURES
from simulator.postgres import LeaseRow
from simulator.world import Process, Steps

if TYPE_CHECKING:
    from simulator.simulation import Simulation

DRAIN_MS = 6_000
UPKEEP_MS = 5_000
IDLE_MS = 60_000
BATCH = 50
SWEEP = Sweep(
    limit=100, pass_ms=FIGURES.pass_ms, missed=FIGURES.missed_passes, quarantine=FIGURES.quarantine_passes,
    tombstone_ms=FIGURES.tombstone_ms,
)  # fmt: skip

PURSE_LOST = frozenset({AppliedKind.NOLEASE, AppliedKind.STALE, AppliedKind.RUN})

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

    def send(self, call: "limiter.Call[limiter.T]") -> "Steps[limiter.T]":
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
    """Let the ledger's clock go on; renew, recall, doubt and close leases."""
    simulation = worker.simulation
    elapsed, worker.last_ms = simulation.world.now - worker.last_ms, simulation.world.now
    tick = yield from simulation.postgres.commit(lambda: simulation.ledger.tick(elapsed))
    for lease in [row for row in simulation.postgres.tables.leases.values() if row.state is not LeaseState.CLOSED]:
        if lease.state is LeaseState.OPEN:
            yield from _keep_open(worker, lease, tick)
        else:
            yield from _try_to_close(worker, lease, tick)


def _keep_open(worker: Worker, lease: LeaseRow, tick: int) -> Steps[None]:
    """Renew what is used, call back what is idle, doubt what has run out by either clock."""
    simulation = worker.simulation
    left = min(lease.expires_at - simulation.postgres.clock(), lease.expires_tick - tick)
    if left <= 0:
        yield from simulation.postgres.commit(lambda: simulation.ledger.doubt_if_expired(lease.account, lease.epoch))
    elif simulation.postgres.clock() - lease.used_at > IDLE_MS:
        yield from recall(worker, lease, lease.granted, close=True)
    elif left < FIGURES.renew_ms:
        yield from _renew(worker, lease)


def _renew(worker: Worker, lease: LeaseRow) -> Steps[None]:
    simulation = worker.simulation
    now_ms = yield from simulation.valkeys.clock_of(worker.name)
    part = yield from simulation.postgres.commit(lambda: simulation.ledger.renew(lease.account, lease.epoch))
    if part is None:
        return
    applied = yield from worker.send(limiter.topup_call(admission.part_of_lease(part, now_ms)))
    if applied.kind in PURSE_LOST:
        yield from simulation.postgres.commit(lambda: simulation.ledger.doubt_if_open(lease.account, lease.epoch))


def recall(worker: Worker, lease: LeaseRow, tokens: int, *, close: bool) -> Steps[None]:
    """Take tokens out of the lease's purse; they come back by the journal."""
    simulation = worker.simulation
    simulation.counts["recalls"] += 1
    call = Recall(simulation.world.uuid(), lease.account, lease.generation, lease.epoch, tokens, close)
    yield from worker.send(limiter.recall_call(call))
    if close:
        yield from simulation.postgres.commit(lambda: simulation.ledger.doubt_if_open(lease.account, lease.epoch))


def recall_quietly(worker: Worker, lease: LeaseRow, tokens: int) -> Steps[None]:
    """The same for who does not wait for it."""
    try:
        yield from recall(worker, lease, tokens, close=False)
    except StoreUnavailable:
        worker.simulation.counts["recalls given up"] += 1


def _try_to_close(worker: Worker, lease: LeaseRow, tick: int) -> Steps[None]:
    """Look at the purse and the mark, and then close, if the rule lets us with what was so when we looked."""
    simulation = worker.simulation
    if tick < lease.expires_tick:
        return
    shard = limiter.shard_of(lease.account)
    run_id, (mark, purse) = yield from simulation.valkeys.read_with_run(
        worker.name, lambda twin: (data.mark(twin, shard), data.purse(twin, lease.account))
    )
    seen, held = leases.Mark(mark.journal_id, mark.last, mark.at), in_purse(purse, lease, run_id)
    closed = yield from simulation.postgres.commit(
        lambda: simulation.ledger.close(lease.account, lease.epoch, seen, held, tick)
    )
    simulation.counts["leases closed"] += closed
    if held and purse is not None and not purse.closed:
        yield from recall(worker, lease, lease.granted, close=True)


def in_purse(purse: Purse | None, lease: LeaseRow, run_id: str) -> int:
    """What a living purse of this very lease still has."""
    if purse is None or (purse.run_id, purse.generation, purse.epoch) != (run_id, lease.generation, lease.epoch):
        return 0
    return purse.available + purse.reserved + purse.quarantined
