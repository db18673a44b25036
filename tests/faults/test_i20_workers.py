"""RELIABILITY.md I20: more workers and beats than needed, and dying ones, change nothing of what is booked."""

import random

from tests.faults.site.backends import on_both, on_both_in_the_long_run
from tests.faults.site.checks import check
from tests.faults.site.load import AWAY, Load
from tests.faults.site.site import Site
from tests.functional.payers import open_payer

KILLS = 4


@on_both
def test_workers_that_are_many_and_die_book_everything_once(site: Site) -> None:
    others = [site.add_worker("worker-more"), site.add_worker("loops-alone", "alone")]
    for name in ("beat-one", "beat-two"):
        site.add_worker(name, "beat")
    choice = random.Random(20)

    with Load(site.urls(), [open_payer(tokens=1_000_000) for _ in range(6)]) as load:
        for _ in range(KILLS):
            load.runs_well(choice.randint(5, 25))
            dying = choice.choice([site.workers[0], *others])
            dying.kill()
            dying.begin()

    # Nine Python processes on a small machine may keep a store waiting; nobody is refused for another reason.
    assert set(load.statuses()) <= {(200, ""), AWAY}, load.statuses()
    check(site, load.calls)


@on_both_in_the_long_run
def test_loops_go_on_without_the_broker(site: Site) -> None:
    with Load(site.urls(), [open_payer(tokens=1_000_000) for _ in range(6)]) as load:
        load.runs_well()
        site.cache.kill()
        load.runs_well(40)

    check(site, load.calls)
