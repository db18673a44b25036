"""What ended is booked once, and not lost. Schedules, and doubles without the rule; see ``test_ablations``."""

from collections.abc import Callable
from typing import Any

import pytest

from apps.quotas import booking, leases
from gateway.spool_book import Book
from simulator import spooling
from simulator.booking import Bookkeeper
from simulator.lab import Lab
from simulator.spools import Disk, SpoolFile

Patch = pytest.MonkeyPatch


def gateway_and_valkey_die_together(lab: Lab) -> None:
    live = lab.call(0, 1_000)
    assert live
    lab.end(live, used=1_000)
    lab.gateway(0).kill()
    lab.simulation.valkeys.flush()
    lab.rest()


def no_spool(patch: Patch) -> None:
    """What a process knows dies with it, and the ledger waits for no spool."""

    def vanish(disk: Disk, owner: str) -> None:
        disk.files = [spool for spool in disk.files if spool.owner != owner]

    patch.setattr(Disk, "release", vanish)
    patch.setattr(leases, "may_close", _without_spools(leases.may_close))


def _without_spools(strict: Callable[..., bool]) -> Callable[..., bool]:
    return lambda lease, mark, _spools, **rest: strict(lease, mark, (), **rest)


def gateway_dies_in_a_call_that_valkey_forgets(lab: Lab) -> None:
    live = lab.call(0, 1_000)
    assert live
    lab.beat(live, 700)
    lab.gateway(0).kill()
    lab.simulation.valkeys.flush()
    lab.rest()


def adopted_calls_end_with_nothing(patch: Patch) -> None:
    patch.setattr(SpoolFile, "progress_of", lambda _spool, _hold: 0)


def journal_is_lost_and_a_new_one_drained(lab: Lab) -> None:
    live = lab.call(0, 500)
    assert live
    lab.end(live, used=500)
    lab.simulation.valkeys.flush()
    lab.wait(leases.YOUNG_MS)
    other = lab.call(1, 100)
    assert other
    lab.end(other, used=100)
    lab.drain()
    lab.do(spooling.cover(lab.gateway(0)))
    lab.rest()


def mark_without_identity(patch: Patch) -> None:
    strict = Book.cover

    def weak(book: Book[Any], shard: int, journal: str, drained: tuple[int, int]) -> Any:
        for waiting in book._acknowledged.get(shard, {}).values():
            waiting.journal = journal
        return strict(book, shard, journal, drained)

    patch.setattr(Book, "cover", weak)


def drainer_dies_between_commit_and_drained(lab: Lab) -> None:
    live = lab.call(0, 500)
    assert live
    lab.end(live, used=500)
    lab.drain_without_mark()
    lab.rest()


def every_entry_is_news(patch: Patch) -> None:
    strict = booking.book
    patch.setattr(booking, "book", lambda entry, lease, _hold, **rest: strict(entry, lease, None, **rest))
    patch.setattr(Bookkeeper, "check_once", lambda *_: None)
