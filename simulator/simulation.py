"""One world with everything in it: stores, gateways, workers, a provider, and the oracle that watches."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from simulator import workers
from simulator.accounts import Account, make_accounts
from simulator.booking import Bookkeeper
from simulator.checks import Checks
from simulator.faults import MENU, Fault, steps_of
from simulator.figures import FIGURES
from simulator.gateways import Gateway
from simulator.ledger import Ledger
from simulator.oracle import Oracle
from simulator.postgres import Postgres, Tables
from simulator.provider import Provider
from simulator.spools import Disk
from simulator.valkeys import Valkeys
from simulator.workers import Worker
from simulator.world import Process, World

DRAINERS, SWEEPERS = 2, 2
GROWING = 3


@dataclass(frozen=True, slots=True)
class Profile:
    """How a seed's world is: who is in it, which faults it has, and how likely the small ones are."""

    accounts: int = 2
    shards: int = 1
    gateways: int = 3
    always: bool = True
    faults: tuple[Fault, ...] = ()
    loss: float = 0.0
    unknown: float = 0.0
    duplicates: float = 0.0
    manager_dies: float = 0.0
    manager_late: float = 0.0
    drainer_dies: float = 0.0
    sweeps_twice: float = 0.0
    upgrading: bool = False
    grows: float = 0.0


def profile_of(seed: int) -> Profile:
    """A profile by chance: each kind of fault is in it or not, so that each is also seen without the others.

    In one world of three holds grow, too. It takes no dice for that: the others are what they were before it was so.
    """
    rng = Random(-seed)

    def sometimes(most: float) -> float:
        return rng.random() * most if rng.random() < 0.4 else 0.0

    share = rng.choice((0.1, 0.3, 0.5, 0.8))
    return Profile(
        accounts=rng.randint(1, 3),
        shards=rng.randint(1, 2),
        gateways=rng.randint(3, 4),
        always=rng.random() < 0.5,
        faults=tuple(fault for fault in MENU if rng.random() < share),
        loss=sometimes(0.05),
        unknown=sometimes(0.1),
        duplicates=sometimes(0.3),
        manager_dies=sometimes(0.1),
        manager_late=sometimes(0.2),
        drainer_dies=sometimes(0.2),
        sweeps_twice=sometimes(0.3),
        upgrading=rng.random() < 0.3,
        grows=0.0 if seed % GROWING else 0.4,
    )


@dataclass(eq=False, slots=True)
class Simulation:
    """Everything of one run. ``quiet``: no new calls come."""

    world: World
    profile: Profile
    accounts: list[Account] = field(init=False)
    valkeys: Valkeys = field(init=False)
    postgres: Postgres = field(init=False)
    ledger: Ledger = field(init=False)
    bookkeeper: Bookkeeper = field(init=False)
    oracle: Oracle = field(default_factory=Oracle)
    provider: Provider = field(init=False)
    disk: Disk = field(default_factory=Disk)
    gateways: list[Gateway] = field(init=False)
    workers: list[Worker] = field(init=False)
    counts: Counter[str] = field(default_factory=Counter)
    backup: Tables | None = None
    operator: Process = field(default_factory=lambda: Process("operator"))
    supervisor: Process = field(default_factory=lambda: Process("supervisor"))
    quiet: bool = False

    def __post_init__(self) -> None:
        world, profile = self.world, self.profile
        self.accounts = make_accounts(world.rng, profile.accounts, profile.shards)
        self.valkeys = Valkeys(world, profile.always, profile.loss)
        self.postgres = Postgres(world, profile.unknown)
        self.ledger = Ledger(self.postgres, self.oracle, world.uuid)
        self.bookkeeper = Bookkeeper(self.ledger, self.counts)
        self.provider = Provider(world, self.oracle.call_changed)
        self.gateways = [Gateway(f"gateway{number}", self) for number in range(profile.gateways)]
        self.workers = self._workers()
        if profile.upgrading:
            world.fault("two library versions")
            self.valkeys.other_version = frozenset(self.clients()[::2])
        for account in self.accounts:
            self.ledger.grant(account.id, account.grant)
        world.watch = Checks(self).after_step

    def _workers(self) -> list[Worker]:
        drainers = [Worker(f"drainer{number}", self, workers.drain, workers.DRAIN_MS) for number in range(DRAINERS)]
        sweepers = [Worker(f"sweeper{number}", self, workers.sweep, FIGURES.pass_ms) for number in range(SWEEPERS)]
        return [*drainers, *sweepers, Worker("upkeep", self, workers.keep_up, workers.UPKEEP_MS)]

    @property
    def shards(self) -> list[int]:
        """The shards that anybody uses."""
        return sorted({account.shard for account in self.accounts})

    def clients(self) -> list[str]:
        """Everybody who talks to Valkey."""
        return [*(gateway.name for gateway in self.gateways), *(worker.name for worker in self.workers)]

    def actors(self) -> list[Gateway | Worker]:
        """Every process that can die and be started again."""
        return [*self.gateways, *self.workers]

    def start(self) -> None:
        """Start every process, and the faults of the profile."""
        for actor in self.actors():
            actor.start()
        self.world.spawn(self.supervisor, self.valkeys.write_through())
        for fault in self.profile.faults:
            self.world.spawn(self.supervisor, steps_of(fault, self))

    def shape_of(self, amount: int) -> tuple[int, int]:
        """What a call for which ``amount`` is held really generates, and in how many ms."""
        rng = self.world.rng
        total = int(amount * rng.random()) if rng.random() < 0.97 else int(amount * rng.uniform(1.0, 1.3))
        length = int(min(500 * 3 ** rng.uniform(0, 6), FIGURES.call_ms))
        return total, length

    def refund(self, account: Account) -> None:
        """Recall what a purse has, and take from what is free, as a charge-back does."""
        lease = self.ledger.open_lease(account.id)
        tokens = self.world.rng.randint(1, account.grant)
        upkeep = self.workers[-1]
        self.world.fault("refund", f"{tokens}")
        self.counts["refunds"] += 1
        if lease is not None and upkeep.process.alive:
            self.world.spawn(upkeep.process, workers.recall_quietly(upkeep, lease, tokens))
        self.counts["tokens refunded"] += self.ledger.refund(account.id, tokens // 2)

    def purchase(self, account: Account) -> None:
        """More tokens, so that calls go on."""
        self.ledger.grant(account.id, account.grant)


Watch = Callable[[], None]
