"""One seed, from its profile to its outcome."""

from collections.abc import Callable

from simulator.checks import Checks
from simulator.figures import FIGURES
from simulator.oracle import Violation
from simulator.report import Outcome
from simulator.simulation import Profile, Simulation, profile_of
from simulator.world import Steps, World

BUSY_MS = 10 * 60_000
"""How long calls and faults come."""

PURCHASE_MS = 240_000

REST_MS = FIGURES.lease_ms + 2 * FIGURES.call_ms + 2 * FIGURES.quarantine_passes * FIGURES.pass_ms + 600_000
"""How long everything may take to come to rest after that."""

LOOK_MS = 30_000


def run_seed(seed: int, tell: Callable[[str], None] | None = None) -> Outcome:
    """Run a seed to its end, or to the first broken promise."""
    simulation = make(seed, profile_of(seed), tell)
    return finish(simulation)


def make(seed: int, profile: Profile, tell: Callable[[str], None] | None = None) -> Simulation:
    """A world that has not begun."""
    return Simulation(World(seed, tell=tell), profile)


def finish(simulation: Simulation) -> Outcome:
    """Run a world to its end."""
    failure = ""
    try:
        play(simulation)
    except Violation as violation:
        failure = str(violation)
    world = simulation.world
    simulation.counts["steps"] = world.steps
    return Outcome(world.seed, simulation.counts, world.faults, failure, tuple(world.events) if failure else ())


def play(simulation: Simulation) -> None:
    """Calls and faults for a while, then quiet, then the reckoning.

    Raises:
        Violation: a promise is broken.
    """
    simulation.start()
    simulation.world.spawn(simulation.supervisor, _trade(simulation))
    simulation.world.run(BUSY_MS)
    calm(simulation)
    for _ in range(0, REST_MS, LOOK_MS):
        simulation.world.run(simulation.world.now + LOOK_MS)
        if not Checks(simulation).left_over():
            break
    Checks(simulation).at_rest()


def calm(simulation: Simulation) -> None:
    """No more calls and no more faults; whoever is dead or frozen comes back, and there is one primary."""
    simulation.quiet = True
    simulation.supervisor.die()
    simulation.supervisor.start()
    simulation.profile = Profile(always=simulation.profile.always)
    simulation.valkeys.heal()
    simulation.postgres.away_until = simulation.postgres.unknown = 0
    for actor in simulation.actors():
        actor.process.frozen_until = 0
        if not actor.process.alive:
            actor.start()


def _trade(simulation: Simulation) -> Steps[None]:
    while True:
        yield int(simulation.world.rng.expovariate(1 / PURCHASE_MS)) + 1
        simulation.purchase(simulation.world.rng.choice(simulation.accounts))
