"""A gateway's spool at work: covered entries go, others are sent again, dead processes' files are adopted."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from apps.core.errors import StoreUnavailable
from apps.limiter import api as limiter
from apps.limiter.api import Mark
from apps.limiter.twin import Twin
from gateway.spool_book import position_of
from simulator import data
from simulator.world import Steps

if TYPE_CHECKING:
    from simulator.gateways import Gateway

SPOOL_MS = 8_000


def keep_spool(gateway: "Gateway") -> Steps[None]:
    """Do all that a spool needs, again and again."""
    while True:
        yield gateway.simulation.world.rng.randint(SPOOL_MS // 2, SPOOL_MS * 3 // 2)
        adopt(gateway)
        for work in (cover, send_again, report_and_let_go):
            try:
                yield from work(gateway)
            except StoreUnavailable:
                yield 1_000


def adopt(gateway: "Gateway") -> None:
    """Take over what dead processes left: a call without an end ends with the last progress that was written."""
    own, now = gateway.spool, gateway.simulation.world.now
    for dead in gateway.simulation.disk.adopt(gateway.name):
        gateway.dead.append(dead)
        for hold, line in dead.admitted.items():
            if hold in gateway.book:
                continue
            ending = dead.ended.get(hold) or replace(line.ending, actual=dead.progress_of(hold))
            own.admitted[hold], own.ended[hold] = line, ending
            gateway.book.adopt(hold, limiter.shard_of(ending.account), min(line.at, now), ending)


def cover(gateway: "Gateway") -> Steps[None]:
    """Ask the marks how far the ledger has the journals."""
    for shard in gateway.book.shards():
        mark = yield from gateway.simulation.valkeys.read(gateway.name, _mark_of(shard))
        for hold in gateway.book.cover(shard, mark.journal_id, position_of(mark.at)):
            gateway.spool.forget(hold)


def _mark_of(shard: int) -> Callable[[Twin], Mark]:
    return lambda twin: data.mark(twin, shard)


def send_again(gateway: "Gateway") -> Steps[None]:
    """Settle again what was not covered in time."""
    for _, ending in list(gateway.book.due(gateway.simulation.world.now)):
        yield from gateway.settle(ending)


def report(gateway: "Gateway") -> Steps[None]:
    """Tell the ledger since when the oldest entry waits, as of when that was counted."""
    simulation, spool = gateway.simulation, gateway.spool.id
    age, as_of = gateway.book.oldest_age_ms(simulation.world.now), gateway.as_of
    yield 1
    gateway.as_of = yield from simulation.postgres.commit(lambda: simulation.ledger.report_spool(spool, age, as_of))


def report_and_let_go(gateway: "Gateway") -> Steps[None]:
    """Once the ledger knows that we wait for what was in adopted files, they go."""
    simulation, adopted = gateway.simulation, list(gateway.dead)
    yield from report(gateway)
    for dead in adopted:
        yield from simulation.postgres.commit(_ending(gateway, dead.id))
        gateway.dead.remove(dead)
        simulation.disk.remove(dead)


def _ending(gateway: "Gateway", spool: str) -> Callable[[], None]:
    return lambda: gateway.simulation.ledger.end_spool(spool)
