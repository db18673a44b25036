"""A gateway's spool at work: covered entries go, what is not covered is sent again, dead processes' files are adopted."""

from dataclasses import replace
from typing import TYPE_CHECKING

from apps.core.errors import StoreUnavailable
from apps.limiter import api as limiter
from gateway.spool_book import position_of
from simulator.spools import SpoolFile
from simulator.world import Steps

if TYPE_CHECKING:
    from simulator.gateways import Gateway

SPOOL_MS = 5_000


def keep_spool(gateway: "Gateway") -> Steps[None]:
    """Do all that a spool needs, again and again."""
    while True:
        yield gateway.simulation.world.rng.randint(SPOOL_MS // 2, SPOOL_MS * 3 // 2)
        adopt(gateway)
        for work in (_cover, _send_again, report):
            try:
                yield from work(gateway)
            except StoreUnavailable:
                yield 1_000


def adopt(gateway: "Gateway") -> None:
    """Take over what dead processes left: a call without an end ends with the last progress that was written."""
    now = gateway.simulation.world.now
    for spool in gateway.simulation.disk.adopt(gateway.name):
        gateway.files.append(spool)
        for hold, line in spool.admitted.items():
            ending = spool.ended.setdefault(hold, replace(line.ending, actual=spool.progress.get(hold, 0)))
            gateway.book.admit(hold, limiter.shard_of(ending.account), line.at)
            gateway.book.end(hold, ending, now)


def _cover(gateway: "Gateway") -> Steps[None]:
    """Ask the marks how far the ledger has the journals."""
    for shard in gateway.book.shards():
        mark = yield from gateway.simulation.valkeys.read(gateway.name, lambda twin, shard=shard: twin.mark(shard))
        for hold in gateway.book.cover(shard, mark.journal_id, position_of(mark.at)):
            for spool in gateway.files:
                spool.forget(hold)


def _send_again(gateway: "Gateway") -> Steps[None]:
    for _, ending in list(gateway.book.due(gateway.simulation.world.now)):
        yield from gateway.settle(ending)


def report(gateway: "Gateway") -> Steps[None]:
    """Tell the ledger since when the oldest entry waits; then let go of adopted files that are covered whole."""
    simulation, own = gateway.simulation, gateway.files[0]
    age, as_of = gateway.book.oldest_age_ms(simulation.world.now), gateway.as_of
    yield 1
    gateway.as_of = yield from simulation.postgres.commit(lambda: simulation.ledger.report_spool(own.id, age, as_of))
    for spool in gateway.files[1:]:
        yield from _let_go(gateway, spool)


def _let_go(gateway: "Gateway", spool: SpoolFile) -> Steps[None]:
    """An adopted file counts as the adopter's from its first report on; it goes when nothing in it is waited for."""
    simulation = gateway.simulation
    if not spool.admitted:
        yield from simulation.postgres.commit(lambda: simulation.ledger.end_spool(spool.id))
        gateway.files.remove(spool)
        simulation.disk.remove(spool)
