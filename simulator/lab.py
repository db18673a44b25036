"""A world in which nothing happens by itself: a schedule says who does what, step by step."""

from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from apps.core.errors import StoreUnavailable
from apps.limiter.api import Policy, Refusal, RefusalKind
from simulator import admission, data, spooling, workers
from simulator.accounts import ROOMY, Account, make_accounts
from simulator.checks import Checks
from simulator.figures import FIGURES
from simulator.gateways import Gateway, Live
from simulator.simulation import Profile, Simulation
from simulator.valkeys import Server
from simulator.world import Steps, World

T = TypeVar("T")

PASS_MS = 4_000
"""Between two passes of upkeep: often enough that the ledger's clock keeps pace with time."""


@dataclass(eq=False)
class Lab:
    """One account that was granted ``tokens``, gateways with a spool each, workers that work when they are told to."""

    tokens: int = 1_000
    always: bool = True
    simulation: Simulation = field(init=False)
    account: Account = field(init=False)

    def __post_init__(self) -> None:
        simulation = self.simulation = Simulation(World(0), Profile(accounts=1, gateways=2, always=self.always))
        some = make_accounts(Random(0), 1, 1)[0]
        self.account = Account(some.id, 100, 1, self.tokens, Policy(ROOMY))
        ledger = simulation.ledger
        ledger.grant(some.id, self.tokens - simulation.accounts[0].grant)
        simulation.accounts = [self.account]
        for gateway in simulation.gateways:
            gateway.spool = simulation.disk.create(f"{gateway.name}.0", gateway.name)
            self.do(spooling.report(gateway))

    # Time

    def do(self, steps: Steps[T]) -> T:
        """Carry out all steps of something, watching after each."""
        while True:
            try:
                wait = next(steps)
            except StopIteration as stop:
                self.watch()
                return stop.value  # type: ignore[no-any-return]  # a generator's own result
            self.wait(wait)

    def begin(self, steps: Steps[T], *, until: str) -> Steps[T]:
        """Carry out steps until the primary has executed a function of this name; the rest is for :meth:`do`."""
        server = self.primary
        while not server.history or not server.history[-1].function.startswith(until):
            self.wait(next(steps))
        return steps

    def wait(self, milliseconds: int) -> None:
        """Let time pass."""
        self.simulation.world.run(self.simulation.world.now + milliseconds)
        self.watch()

    def watch(self) -> None:
        """Ask the oracle."""
        Checks(self.simulation).after_step()

    # Gateways

    @property
    def primary(self) -> Server:
        """The Valkey that is taken for the primary by who has heard of it."""
        return self.simulation.valkeys.primary

    def gateway(self, number: int) -> Gateway:
        """One of two."""
        return self.simulation.gateways[number]

    def call(self, number: int, tokens: int) -> Live | None:
        """Admit a call at a gateway, and let the provider generate as much as is held; None: it was refused."""
        gateway = self.gateway(number)
        order = gateway.order(self.account, tokens)
        reserved = self.do(admission.admit(gateway, self.account, order))
        if reserved is None:
            return None
        gateway.topping_up.add(self.account.id)
        live = gateway.note_admission(self.account, *reserved)
        self.simulation.provider.start(live.call, tokens, FIGURES.call_ms)
        self.watch()
        return live

    def end(self, live: Live, *, used: int) -> None:
        """A call ends, having used so many tokens, and is settled."""
        live.call.total = used
        live.call.length_ms = 1
        self.wait(1)
        gateway = next(one for one in self.simulation.gateways if one.name == live.call.gateway)
        self.do(gateway.finish(live, "completed"))

    def fill_purse(self) -> None:
        """Bring all that the account has into the purse: a call holds it, and uses nothing. Its end is booked."""
        if live := self.call(0, self.tokens):
            self.end(live, used=0)
        self.drain()
        self.do(spooling.cover(self.gateway(0)))

    def beat(self, live: Live, progress: int) -> None:
        """A heartbeat, at which so much has been generated."""
        live.call.total, live.call.length_ms, live.call.started_ms = progress, 1, self.simulation.world.now - 1
        gateway = next(one for one in self.simulation.gateways if one.name == live.call.gateway)
        self.do(gateway.beat(live))

    def ensuring(self, gateway: Gateway, tokens: int) -> Steps[bool]:
        """What a gateway does that has found no purse."""
        clock = self.primary.clock(self.simulation.world.now)
        seen = Refusal(RefusalKind.NOLEASE, clock)
        need = admission.need_of(self.account, gateway.order(self.account, tokens), seen, gateway.run_id())
        return admission.ensure(gateway, need, clock)

    def begin_ensuring(self, gateway: Gateway, tokens: int) -> Steps[bool]:
        """The same until the ledger has given the part away; then it stands still."""
        steps = self.ensuring(gateway, tokens)
        while not self.simulation.postgres.tables.leases:
            self.wait(next(steps))
        return steps

    def try_to(self, steps: Steps[object]) -> None:
        """Carry out the rest of something that may find a store away."""
        with suppress(StoreUnavailable):
            self.do(steps)

    def deliver_again(self, function: str) -> None:
        """The network delivers the last call of this function a second time."""
        server = self.primary
        call = next(one for one in reversed(server.history) if one.function.startswith(function))
        server.twin.call(call.function, call.keys, (*call.args[:-1], server.clock(self.simulation.world.now)))
        self.watch()

    def lose_disk(self, number: int) -> None:
        """A gateway dies and its disk with it; a person writes its spool off."""
        gateway = self.gateway(number)
        gateway.kill()
        self.simulation.disk.remove(gateway.spool)
        self.simulation.ledger.end_spool(gateway.spool.id)

    # Workers

    def drain(self) -> None:
        """A drainer's pass."""
        self.do(workers.drain(self.simulation.workers[0]))

    def drain_without_mark(self) -> None:
        """A drainer dies between its commit and the mark."""
        self.simulation.bookkeeper.book(data.journal(self.primary.twin, self.account.shard, 100))
        self.watch()

    def recall(self, tokens: int, *, unknown_commits: int = 0) -> None:
        """Take tokens out of the purse; the ledger does not answer so many commits that it made meanwhile."""
        lease = self.simulation.ledger.open_lease(self.account.id)
        if lease is None:
            raise ValueError("there is nothing to recall from")
        steps = workers.recall(self.simulation.workers[-1], lease, tokens, close=False)
        self.simulation.postgres.unanswered = unknown_commits
        self.do(steps)
        self.simulation.postgres.unanswered = 0

    def sweep(self, passes: int = 1) -> None:
        """So many passes of the sweeper, at their time."""
        for _ in range(passes):
            self.do(workers.sweep(self.simulation.workers[2]))
            self.wait(FIGURES.pass_ms)

    def keep_up(self, milliseconds: int = 0, *, reporting: tuple[int, ...] = (0, 1), draining: bool = True) -> None:
        """Upkeep for so long, with the reports of these gateways' spools; at least one pass."""
        end = self.simulation.world.now + milliseconds
        while True:
            self.do(workers.keep_up(self.simulation.workers[-1]))
            for number in reporting:
                self.do(spooling.cover(self.gateway(number)))
                self.do(spooling.report_and_let_go(self.gateway(number)))
            if draining:
                self.drain()
            if self.simulation.world.now >= end:
                return
            self.wait(PASS_MS)

    def tick(self, milliseconds: int) -> None:
        """Time passes, the ledger's own clock with it, and nobody keeps any lease."""
        for _ in range(0, milliseconds, PASS_MS):
            self.wait(PASS_MS)
            self.simulation.ledger.tick(PASS_MS)

    def until_closed(self, *, reporting: tuple[int, ...] = (0, 1), draining: bool = True) -> None:
        """Upkeep for as long as an expired lease can stay open when nothing stands in its way."""
        self.keep_up(FIGURES.lease_ms + FIGURES.call_ms + 3 * FIGURES.skew_ms, reporting=reporting, draining=draining)

    def rest(self) -> None:
        """Let everything come to rest, with all loops, and ask for the reckoning."""
        for _ in range(200):
            self.do(workers.sweep(self.simulation.workers[2]))
            for gateway in self.simulation.gateways:
                if gateway.process.alive:
                    spooling.adopt(gateway)
                    self.do(spooling.send_again(gateway))
            self.keep_up(reporting=tuple(n for n in (0, 1) if self.gateway(n).process.alive))
            self.wait(FIGURES.pass_ms)
            if not Checks(self.simulation).left_over():
                break
        Checks(self.simulation).at_rest()
