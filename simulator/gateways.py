"""A gateway process: calls from admission to settlement, as gateway/line.py has them, with the product's own parts.

Between two yields it may be killed, frozen, or left without an answer. No step has a ``finally``: a killed process
cleans nothing up.
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from apps.core.errors import StoreUnavailable
from apps.limiter import api as limiter
from apps.limiter.api import Admitted, Beat, ClaimEnd, Ending, Order, Pulse
from gateway.spool_book import Book, position_of
from simulator import admission, spooling
from simulator.accounts import Account
from simulator.figures import FIGURES
from simulator.ledger import AsOf
from simulator.provider import Call, Stage
from simulator.spools import Line, SpoolFile
from simulator.world import Process, Steps

if TYPE_CHECKING:
    from simulator.simulation import Simulation

T = TypeVar("T")

RESEND_MS = 15_000

MUST_STOP = frozenset({Pulse.SWEPT, Pulse.DEAD})
"""A hold that Valkey has forgotten may go on: its lease is in doubt, and nobody sells its tokens before it must end."""


@dataclass(eq=False, slots=True)
class Live:
    """A call under way in this process."""

    call: Call
    order: Order
    ending: Ending
    done: bool = False


@dataclass(eq=False, slots=True)
class Gateway:
    """One process after another under one name."""

    name: str
    simulation: "Simulation"
    process: Process = field(init=False)
    generation: int = 1
    live: dict[UUID, Live] = field(default_factory=dict)
    topping_up: set[UUID] = field(default_factory=set)
    spool: SpoolFile = field(init=False)
    dead: list[SpoolFile] = field(default_factory=list)
    book: Book[Ending] = field(init=False)
    as_of: AsOf | None = None

    def __post_init__(self) -> None:
        self.process = Process(self.name)
        self.book = Book(call_ms=FIGURES.call_ms, resend_ms=RESEND_MS)

    # Life

    def start(self) -> None:
        """Begin a life: a new spool, which the ledger must know before the first call."""
        self.process.start()
        self.live, self.topping_up, self.dead, self.as_of = {}, set(), [], None
        self.book = Book(call_ms=FIGURES.call_ms, resend_ms=RESEND_MS)
        self.simulation.world.spawn(self.process, self._begin())

    def kill(self) -> None:
        """SIGKILL: connections break, locks go, lines stay."""
        self.process.die()
        self.simulation.provider.hang_up(self.spool.without_end())
        self.simulation.disk.release(self.name)

    def start_again(self, after: int) -> None:
        """A supervisor brings it back."""
        self.simulation.world.spawn(self.simulation.supervisor, self._start_later(), after)

    def _start_later(self) -> Steps[None]:
        if not self.process.alive:
            self.start()
        yield from ()

    def _begin(self) -> Steps[None]:
        simulation = self.simulation
        self.spool = simulation.disk.create(f"{self.name}.{self.process.life}", self.name)
        while self.as_of is None:
            try:
                yield from spooling.report(self)
            except StoreUnavailable:
                yield 2_000
        for work in (spooling.keep_spool(self), self._heartbeat_forever()):
            simulation.world.spawn(self.process, work)
        for account in simulation.accounts:
            simulation.world.spawn(self.process, self._clients(account), simulation.world.rng.randint(0, 5_000))

    # Calls

    def _clients(self, account: Account) -> Steps[None]:
        world = self.simulation.world
        while not self.simulation.quiet:
            world.spawn(self.process, self.serve(account, account.next_hold(world.rng)))
            yield 1 + int(world.rng.expovariate(1 / account.pause_ms))

    def serve(self, account: Account, amount: int) -> Steps[None]:
        """One call, from its first byte to its settlement."""
        simulation, began = self.simulation, self.simulation.world.now
        simulation.counts["calls"] += 1
        order = self.order(account, amount)
        reserved = yield from admission.admit(self, account, order)
        if reserved is None:
            return
        live = self.note_admission(account, *reserved)
        yield 1
        self.simulation.world.spawn(self.process, self._run(live, began))

    def order(self, account: Account, amount: int) -> Order:
        """What a call asks for."""
        names = tuple(budget.id for budget in account.budgets)
        return Order(
            self.simulation.world.uuid(), account.id, amount, self.generation, credential="key", user="user",
            token_version=None, facts=b"facts", budgets=names, policy=account.policy,
            claim=account.next_claim(self.simulation.world.rng),
        )  # fmt: skip

    def note_admission(self, account: Account, order: Order, admitted: Admitted) -> Live:
        """Write to the spool that a call was admitted, and top the purse up when it is low."""
        world = self.simulation.world
        ending = Ending(
            hold=order.hold, account=order.account, epoch=admitted.epoch, generation=order.generation,
            amount=order.amount, policy=order.policy, actual=0, payload=b"{}", tombstone_ms=FIGURES.tombstone_ms,
            facts=order.facts, budgets=order.budgets, claim=order.claim.key if order.claim else None,
            claim_end=ClaimEnd.FREE,
        )  # fmt: skip
        call = Call(
            order.hold, order.account, self.name, order.amount, generation=order.generation, budgets=account.budgets
        )
        live = Live(call, order, ending)
        self.spool.admitted[order.hold] = Line(ending, world.now)
        self.book.admit(order.hold, limiter.shard_of(order.account), world.now)
        self.live[order.hold] = live
        if admitted.low and account.id not in self.topping_up:
            self.topping_up.add(account.id)
            world.spawn(self.process, admission.top_up(self, account, order, admitted, self.run_id()))
        return live

    def _run(self, live: Live, began: int) -> Steps[None]:
        """Send the call, and wait until it ends by itself, its client leaves, or its time is up."""
        simulation, world = self.simulation, self.simulation.world
        left = FIGURES.call_ms - (world.now - began)
        if left <= 0 or live.done:
            yield from self.finish(live, "timeout")
            return
        total, length = simulation.shape_of(live.order.amount)
        simulation.provider.start(live.call, total, min(length, left))
        simulation.counts["admitted"] += 1
        if simulation.profile.grows and world.chance(simulation.profile.grows):
            steps = admission.grow(self, live, 1 + int(live.order.amount * world.rng.uniform(0, 2)))
            world.spawn(self.process, steps, world.rng.randint(0, min(length, left)))
        leaves = world.chance(0.1)
        yield min(length, left) if not leaves else world.rng.randint(0, min(length, left))
        yield from self.finish(live, "client_closed" if leaves else "completed")

    def keep_growth(self, live: Live, tokens: int) -> None:
        """Write to the spool what a call holds now."""
        live.ending = replace(live.ending, amount=live.ending.amount + tokens)
        line = self.spool.admitted[live.call.id]
        self.spool.admitted[live.call.id] = replace(line, ending=live.ending)

    def finish(self, live: Live, outcome: str) -> Steps[None]:
        """End a call once: hang up, note it in the spool, settle."""
        if live.done:
            return
        live.done = True
        self.live.pop(live.call.id, None)
        actual = self.simulation.provider.stop(live.call)
        ending = replace(live.ending, actual=actual, claim_end=ClaimEnd.DONE if actual else ClaimEnd.FREE)
        self.simulation.counts["completed" if outcome == "completed" else "cut"] += 1
        yield 0
        self.spool.ended[ending.hold] = ending
        self.book.end(ending.hold, ending, self.simulation.world.now)
        if self.simulation.world.chance(self.simulation.profile.duplicates):
            self.simulation.world.fault("settle sent twice")
            self.simulation.world.spawn(self.process, self.settle(ending), self.simulation.world.rng.randint(0, 60_000))
        yield 1
        yield from self.settle(ending)

    def _heartbeat_forever(self) -> Steps[None]:
        """A sign of life of every call, its progress on the disk first."""
        while True:
            yield FIGURES.heartbeat_ms
            for live in list(self.live.values()):
                try:
                    yield from self.beat(live)
                except StoreUnavailable:
                    yield 100

    def beat(self, live: Live) -> Steps[None]:
        """A heartbeat: the progress to the disk, then to Valkey."""
        if live.done or live.call.stage is Stage.HELD:
            return
        progress = live.call.made_by(self.simulation.world.now)
        self.spool.progress[live.call.id] = progress
        yield 0
        order = live.order
        beat = Beat(order.hold, order.account, progress, order.credential, order.user, order.token_version)
        pulse = yield from self.send(limiter.heartbeat_call(beat))
        if pulse is Pulse.OK:
            live.call.reported = progress
        if pulse in MUST_STOP and not live.done:
            self.simulation.counts[f"cut: {pulse}"] += 1
            self.simulation.world.spawn(self.process, self.finish(live, "hold_lost"))

    def settle(self, ending: Ending) -> Steps[None]:
        """Send an end once; what is not covered in time is sent again by the spool."""
        try:
            ended = yield from self.send(limiter.settle_call(ending))
        except StoreUnavailable:
            return
        self.simulation.counts[f"settle {ended.kind}"] += 1
        self.book.acknowledge(ending.hold, ended.journal_id, position_of(ended.entry_id))

    def learn_generation(self, generation: int) -> Steps[None]:
        """Adopt the ledger's generation, once it knows our spool: what it was restored from may be older than that."""
        if generation > self.generation:
            yield from spooling.report(self)
            self.generation = max(self.generation, generation)

    def hear_of_generation(self, generation: int) -> Steps[None]:
        """The same, told by the ledger's push."""
        try:
            yield from self.learn_generation(generation)
        except StoreUnavailable:
            yield 1_000
            yield from self.hear_of_generation(generation)

    def send(self, call: "limiter.Call[T]") -> Steps[T]:
        """One call to the Valkey that this process takes for the primary."""
        return self.simulation.valkeys.send(self.name, call)

    def run_id(self) -> str:
        """What the connection read when it connected."""
        return self.simulation.valkeys.server_of(self.name).run_id
