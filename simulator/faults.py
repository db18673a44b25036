"""The menu of faults: what may happen to a run, how often, and what it does. Each is counted in the report."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.figures import FIGURES
from simulator.spools import SpoolFile
from simulator.world import Process, Steps

if TYPE_CHECKING:
    from simulator.gateways import Gateway
    from simulator.simulation import Simulation

HOUR_MS = 3_600_000
MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind: ``every_ms`` is the mean time between two of them in a run that has it."""

    name: str
    every_ms: int
    strike: Callable[["Simulation"], None]


def steps_of(fault: Fault, simulation: "Simulation") -> Steps[None]:
    """Strike again and again, at times that the seed decides."""
    while True:
        yield int(simulation.world.rng.expovariate(1 / fault.every_ms)) + 1
        fault.strike(simulation)


def _some_gateway(simulation: "Simulation") -> "Gateway | None":
    living = [gateway for gateway in simulation.gateways if gateway.process.alive]
    return simulation.world.rng.choice(living) if living else None


def kill_gateway(simulation: "Simulation") -> None:
    """SIGKILL; a new process takes its place after a while."""
    if gateway := _some_gateway(simulation):
        simulation.world.fault("gateway killed", gateway.name)
        gateway.kill()
        gateway.start_again(after=simulation.world.rng.randint(1_000, 60_000))


def kill_with_valkey(simulation: "Simulation") -> None:
    """A gateway and the primary's data at once: what only they knew is in the spool."""
    simulation.world.fault("gateway and Valkey lost together")
    kill_gateway(simulation)
    simulation.valkeys.flush()


def freeze_gateway(simulation: "Simulation") -> None:
    """SIGSTOP or a paused machine; its clock goes on."""
    if gateway := _some_gateway(simulation):
        simulation.world.fault("gateway frozen", gateway.name)
        _freeze(simulation, gateway.process, int(FIGURES.call_ms * 1.3))


def pause_worker(simulation: "Simulation") -> None:
    """One of the loops' processes stands still."""
    worker = simulation.world.rng.choice(simulation.workers)
    simulation.world.fault("worker paused", worker.name)
    _freeze(simulation, worker.process, 10 * MINUTE_MS)


def _freeze(simulation: "Simulation", process: Process, longest_ms: int) -> None:
    rng = simulation.world.rng
    length = int(longest_ms ** rng.random()) + 500
    process.frozen_until = max(process.frozen_until, simulation.world.now + length)


def kill_worker(simulation: "Simulation") -> None:
    """A drainer, sweeper or upkeep dies between any two of its steps, and starts anew."""
    worker = simulation.world.rng.choice(simulation.workers)
    simulation.world.fault("worker killed", worker.name)
    worker.kill()
    worker.start_again(after=simulation.world.rng.randint(500, 20_000))


def restart_valkey(simulation: "Simulation") -> None:
    """The primary restarts with its AOF intact."""
    if simulation.valkeys.primary.alive:
        simulation.world.fault("Valkey restarted")
        simulation.valkeys.restart(power_loss=False, away_ms=_away(simulation))


def cut_power(simulation: "Simulation") -> None:
    """The machine of the primary loses power; what was not on its disk is gone."""
    if simulation.valkeys.primary.alive:
        simulation.world.fault(f"power loss, appendfsync {'always' if simulation.valkeys.always else 'everysec'}")
        simulation.valkeys.restart(power_loss=True, away_ms=_away(simulation))


def _away(simulation: "Simulation") -> int:
    return simulation.world.rng.randint(10, 20_000)


def flush(simulation: "Simulation") -> None:
    """FLUSHALL on the primary."""
    if simulation.valkeys.primary.alive:
        simulation.world.fault("FLUSHALL")
        simulation.valkeys.flush()


def fail_over(simulation: "Simulation") -> None:
    """A lagging replica becomes the primary, while some clients stay with the old one."""
    rng, clients = simulation.world.rng, simulation.clients()
    simulation.world.fault("failover with split brain" if simulation.valkeys.primary.alive else "failover")
    staying = [client for client in clients if rng.random() < 0.5]
    simulation.valkeys.fail_over(staying, fenced_after_ms=int(40 * MINUTE_MS ** rng.random()) + 1_000)


def jump_valkey_clock(simulation: "Simulation") -> None:
    """The clock of a Valkey is set forward or back, by up to an hour."""
    rng = simulation.world.rng
    server = rng.choice(
        [server for server in simulation.valkeys.servers if server.alive] or [simulation.valkeys.primary]
    )
    jump = rng.randint(-HOUR_MS, HOUR_MS)
    simulation.world.fault("Valkey's clock jumped", f"{server.name} {jump} ms")
    server.offset_ms += jump


def jump_postgres_clock(simulation: "Simulation") -> None:
    """PostgreSQL's clock is set forward or back, by up to an hour."""
    jump = simulation.world.rng.randint(-HOUR_MS, HOUR_MS)
    simulation.world.fault("PostgreSQL's clock jumped", f"{jump} ms")
    simulation.postgres.offset_ms += jump


def stop_postgres(simulation: "Simulation") -> None:
    """PostgreSQL is away for seconds or minutes."""
    world = simulation.world
    world.fault("PostgreSQL away")
    away = int((10 * MINUTE_MS) ** world.rng.uniform(0.6, 1.0))
    simulation.postgres.away_until = max(simulation.postgres.away_until, world.now + away)


def refund(simulation: "Simulation") -> None:
    """A purchase is charged back: tokens are recalled from the purse, and taken from what is free."""
    simulation.refund(simulation.world.rng.choice(simulation.accounts))


def restore_postgres(simulation: "Simulation") -> None:
    """First a backup; the next time, it is restored, the generation raised, and the gateways are told."""
    if simulation.backup is None:
        simulation.backup = simulation.postgres.backup()
        return
    simulation.world.fault("PostgreSQL restored to an earlier state")
    simulation.ledger.restore(simulation.backup)
    simulation.backup = None
    generation = simulation.postgres.tables.generation
    for gateway in simulation.gateways:
        told = gateway.hear_of_generation(generation)
        simulation.world.spawn(gateway.process, told, simulation.world.rng.randint(10, 3_000))
    simulation.world.spawn(simulation.operator, _write_off_the_forgotten(simulation), after=MINUTE_MS)


def _write_off_the_forgotten(simulation: "Simulation") -> Steps[None]:
    """The runbook: spools that had ended since the backup are open again in the restored ledger, and have no file."""
    there = {spool.id for spool in simulation.disk.files}
    for spool in set(simulation.postgres.tables.spools) - there:
        simulation.ledger.end_spool(spool)
    yield from ()


def lose_disk(simulation: "Simulation") -> None:
    """A gateway's machine is gone, and its spool with it; a person writes it off later."""
    if gateway := _some_gateway(simulation):
        simulation.world.fault("gateway's disk lost", gateway.name)
        gateway.kill()
        lost = simulation.disk.lose(gateway.spool)
        simulation.world.spawn(
            simulation.operator, _write_off(simulation, lost), simulation.world.rng.randint(0, 300_000)
        )
        gateway.start_again(after=simulation.world.rng.randint(1_000, 60_000))


def _write_off(simulation: "Simulation", lost: list[SpoolFile]) -> Steps[None]:
    for spool in lost:
        simulation.ledger.end_spool(spool.id)
        for hold in spool.admitted:
            simulation.oracle.forgive(hold)
    yield from ()


MENU = (
    Fault("gateway killed", 240_000, kill_gateway),
    Fault("gateway and Valkey lost together", 900_000, kill_with_valkey),
    Fault("gateway frozen", 180_000, freeze_gateway),
    Fault("worker paused", 240_000, pause_worker),
    Fault("worker killed", 60_000, kill_worker),
    Fault("Valkey restarted", 240_000, restart_valkey),
    Fault("power loss", 300_000, cut_power),
    Fault("FLUSHALL", 400_000, flush),
    Fault("failover", 300_000, fail_over),
    Fault("Valkey's clock jumped", 200_000, jump_valkey_clock),
    Fault("PostgreSQL's clock jumped", 200_000, jump_postgres_clock),
    Fault("PostgreSQL away", 300_000, stop_postgres),
    Fault("PostgreSQL restored to an earlier state", 250_000, restore_postgres),
    Fault("gateway's disk lost", 600_000, lose_disk),
    Fault("refund", 240_000, refund),
)
