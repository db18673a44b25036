"""Each rule of the protocol, switched off: one schedule that sells twice or loses without it, and is clean with it.

The rules are in product code and have no switch there: a test puts a double in the place of the named one.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest

from apps.core.errors import StoreUnavailable
from apps.limiter import api as limiter
from apps.limiter import twin, twin_leases
from apps.limiter.twin_holds import TwinHold
from apps.limiter.twin_purse import TwinPurse
from apps.limiter.twin_store import Store
from apps.quotas import booking, leases
from apps.quotas.domain import Status
from gateway.spool_book import Book
from simulator import admission, spooling, workers
from simulator.booking import Bookkeeper
from simulator.figures import FIGURES
from simulator.lab import Lab
from simulator.ledger import Ledger
from simulator.oracle import Violation
from simulator.spools import Disk, SpoolFile

Patch = pytest.MonkeyPatch
HOUR_MS = 3_600_000
FAR_MS = 10 * HOUR_MS


# A server's run, the ledger's generation, the lease's life


def two_primaries_spend_one_purse(lab: Lab) -> None:
    lab.fill_purse()
    lab.simulation.valkeys.replicate()
    lab.simulation.valkeys.fail_over(["gateway0"], fenced_after_ms=FAR_MS)
    lab.call(0, 1_000)
    lab.call(1, 1_000)


def no_run_id_check(patch: Patch) -> None:
    _weaken_purse(patch, lambda purse, _run, gen, number, now: (purse.run, gen, number, now))


def restored_ledger_sells_again(lab: Lab) -> None:
    backup = lab.simulation.postgres.backup()
    lab.fill_purse()
    lab.simulation.ledger.restore(backup)
    for gateway in lab.simulation.gateways:
        gateway.generation = 2
    lab.call(0, 1_000)
    lab.call(1, 1_000)


def no_generation_check(patch: Patch) -> None:
    _weaken_purse(patch, lambda purse, run, _gen, number, now: (run, purse.gen, number, now))


def fenced_primary_outlives_its_lease(lab: Lab) -> None:
    lab.fill_purse()
    lab.simulation.valkeys.fail_over(["gateway0"], fenced_after_ms=FAR_MS)
    lab.until_closed()
    assert lab.call(1, 1_000), "the closed lease's tokens are there again"
    lab.call(0, 1_000)


def no_lease_expiry(patch: Patch) -> None:
    _weaken_purse(patch, lambda purse, run, gen, number, _now: (run, gen, number, purse.since))


def fenced_primary_turns_its_clock_back(lab: Lab) -> None:
    lab.fill_purse()
    lab.simulation.valkeys.fail_over(["gateway0"], fenced_after_ms=FAR_MS)
    lab.simulation.valkeys.server_of("gateway0").offset_ms -= HOUR_MS
    lab.until_closed()
    assert lab.call(1, 1_000), "the closed lease's tokens are there again"
    lab.call(0, 1_000)


def no_set_back_check(patch: Patch) -> None:
    _weaken_purse(patch, lambda purse, run, gen, number, now: (run, gen, number, max(now, purse.since)))


def _weaken_purse(patch: Patch, believe: Callable[[TwinPurse, str, str, int, int], tuple[str, str, int, int]]) -> None:
    """A purse that is told what it would like to hear: run, generation, pass and time."""
    strict = TwinPurse.may_be_spent

    def weak(purse: TwinPurse, run: str, gen: str, number: int, now: int) -> bool:
        return strict(purse, *believe(purse, run, gen, number, now))

    patch.setattr(TwinPurse, "may_be_spent", weak)


# Closing


def call_runs_when_its_lease_expires(lab: Lab) -> None:
    assert lab.call(0, 1_000)
    lab.simulation.valkeys.flush()
    lab.keep_up(FIGURES.lease_ms + 20_000)
    lab.call(1, 1_000)


def closing_without_grace(patch: Patch) -> None:
    strict = leases.may_close

    def weak(*args: Any, grace_ms: int, **rest: Any) -> bool:
        return strict(*args, grace_ms=0, **rest)

    patch.setattr(leases, "may_close", weak)


def only_the_journal_knows(lab: Lab) -> None:
    """A gateway dies and its disk with it; what its call had come to is in the journal, which nobody drains."""
    live = lab.call(0, 1_000)
    assert live
    lab.beat(live, 900)
    lab.lose_disk(0)
    lab.sweep(FIGURES.missed_passes + 1)
    lab.simulation.valkeys.primary.twin.store.delete(limiter.purse_key(lab.account.id))
    lab.until_closed(reporting=(1,), draining=False)
    lab.call(1, 1_000)


def closing_without_drain(patch: Patch) -> None:
    patch.setattr(leases, "_is_drained", lambda _lease, _mark: True)


def only_a_spool_knows(lab: Lab) -> None:
    """A call has ended, Valkey forgets it, and the gateway that knows is frozen."""
    live = lab.call(0, 1_000)
    assert live
    lab.end(live, used=1_000)
    lab.simulation.valkeys.flush()
    lab.until_closed(reporting=(1,))
    lab.call(1, 1_000)


def closing_without_spools(patch: Patch) -> None:
    strict = leases.may_close

    def weak(lease: Any, mark: Any, _spools: Any, **rest: Any) -> bool:
        return strict(lease, mark, (), **rest)

    patch.setattr(leases, "may_close", weak)


def report_arrives_late(lab: Lab) -> None:
    """A gateway counts that it waits for nothing and freezes with calls under way; its report comes after them."""
    live = lab.call(0, 1_000)
    assert live
    report = spooling.report(lab.gateway(0))
    lab.wait(next(report))
    lab.simulation.valkeys.flush()
    lab.until_closed(reporting=(1,))
    lab.simulation.provider.stop(live.call)
    lab.do(report)
    lab.keep_up(reporting=(1,))
    lab.call(1, 1_000)


def report_counts_as_of_its_arrival(patch: Patch) -> None:
    strict = Ledger.report_spool
    patch.setattr(Ledger, "report_spool", lambda ledger, spool, age, _as_of: strict(ledger, spool, age, None))


def clock_of_postgres_jumps(lab: Lab) -> None:
    assert lab.call(0, 1_000)
    lab.simulation.valkeys.flush()
    lab.keep_up()
    lab.simulation.postgres.offset_ms += HOUR_MS
    lab.keep_up(20_000)
    lab.call(1, 1_000)


def closing_by_the_wall_clock(patch: Patch) -> None:
    def tick(ledger: Ledger, _elapsed_ms: int) -> int:
        ledger.tables.tick = ledger.postgres.clock()
        return ledger.tables.tick

    patch.setattr(Ledger, "tick", tick)


# Sweeping


def gateway_freezes_and_its_call_runs_on(lab: Lab) -> None:
    live = lab.call(0, 1_000)
    assert live
    lab.beat(live, 100)
    lab.sweep(FIGURES.missed_passes + 1)
    lab.call(1, 900)


def no_quarantine(patch: Patch) -> None:
    strict = twin_leases._sweep_hold

    def weak(*args: Any, quarantines: bool) -> None:
        strict(*args, quarantines=False)

    patch.setattr(twin_leases, "_sweep_hold", weak)


def clock_of_valkey_jumps(lab: Lab) -> None:
    live = lab.call(0, 1_000)
    assert live
    lab.beat(live, 100)
    for _ in range(2):
        lab.primary.offset_ms += HOUR_MS
        lab.do(workers.sweep(lab.simulation.workers[2]))
    lab.keep_up(FIGURES.lease_ms - FIGURES.renew_ms + 10_000)
    lab.call(1, 900)


def death_by_seconds(patch: Patch) -> None:
    def number_of(store: Store, mark: str, pass_ms: int, now: int) -> int:
        store.hset_all(mark, [("pass", now // pass_ms), ("passed", now)])
        return now // pass_ms

    patch.setattr(twin_leases, "_begin_pass", number_of)


def swept_call_tells_what_it_came_to(lab: Lab) -> None:
    live = lab.call(0, 1_000)
    assert live
    lab.beat(live, 100)
    lab.sweep(FIGURES.missed_passes + 1)
    lab.drain()
    lab.end(live, used=1_000)
    lab.rest()


def sweep_has_the_last_word(patch: Patch) -> None:
    strict = booking.book

    def weak(entry: Any, lease: Any, hold: Any, **rest: Any) -> Any:
        final = replace(hold, status=Status.SETTLED) if hold and hold.status is Status.EXPIRED else hold
        return strict(entry, lease, final, **rest)

    patch.setattr(booking, "book", weak)


# Spools and the journal


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


# How tokens come and go


def grant_arrives_after_its_lease_was_closed(lab: Lab) -> None:
    gateway = lab.gateway(0)
    late = lab.begin_ensuring(gateway, 1_000)
    lab.until_closed()
    assert lab.call(1, 1_000), "the closed lease's tokens are there again"
    lab.simulation.valkeys.flush()
    lab.do(late)
    lab.call(0, 1_000)


def no_deadline_of_grants(patch: Patch) -> None:
    strict = admission.part_of_lease
    patch.setattr(admission, "part_of_lease", lambda part, now: replace(strict(part, now), not_after_ms=now + FAR_MS))


def grant_is_delivered_twice(lab: Lab) -> None:
    assert lab.call(0, 1_000)
    lab.deliver_again("grant")
    lab.call(1, 1_000)


def no_order_of_epochs(patch: Patch) -> None:
    strict = twin.FUNCTIONS["grant"]

    def weak(store: Store, keys: Sequence[str], args: Sequence[bytes], now: int) -> Any:
        store.delete(keys[0])
        return strict(store, keys, args, now)

    patch.setitem(twin.FUNCTIONS, "grant", weak)


def valkey_forgets_a_grant_whose_answer_was_lost(lab: Lab) -> None:
    gateway = lab.gateway(0)
    granting = lab.begin(lab.ensuring(gateway, 1_000), until="grant")
    lab.simulation.valkeys.loss = 1.0
    with suppress(StoreUnavailable):
        lab.wait(next(granting))
    lab.simulation.valkeys.loss = 0.0
    assert lab.call(1, 1_000)
    lab.simulation.valkeys.flush()
    lab.try_to(granting)
    lab.call(0, 1_000)


def grant_is_repeated(patch: Patch) -> None:
    strict = admission.apply

    def weak(gateway: Any, part: Any, now_ms: int) -> Any:
        try:
            yield from strict(gateway, part, now_ms)
        except StoreUnavailable:
            yield from strict(gateway, part, now_ms)

    patch.setattr(admission, "apply", weak)


def hold_ends_in_the_next_epoch(lab: Lab) -> None:
    """The purse expires under a call, a new epoch opens, and the old call ends unused."""
    old = lab.call(0, 500)
    lab.tick(FIGURES.lease_ms + 10_000)
    new = lab.call(1, 1_000)
    assert old
    lab.end(old, used=0)
    lab.keep_up(40_000)
    lab.call(1, 500)
    assert new
    lab.end(new, used=1_000)
    lab.keep_up(FIGURES.call_ms)
    assert lab.call(0, 500), "the closed lease's tokens are there again"


def holds_move_any_purse(patch: Patch) -> None:
    patch.setattr(TwinHold, "owns", lambda _hold, purse: purse is not None)


def return_is_drained_twice(lab: Lab) -> None:
    lab.fill_purse()
    lab.recall(500)
    lab.drain_without_mark()
    lab.drain()
    assert lab.call(0, 500), "what the purse has left"
    lab.call(1, 501)


def every_return_is_news(patch: Patch) -> None:
    strict = booking.book

    def weak(*args: Any, is_returned: bool, **rest: Any) -> Any:
        return strict(*args, is_returned=False, **rest)

    patch.setattr(booking, "book", weak)
    patch.setattr(Bookkeeper, "check_once", lambda *_: None)


def commit_of_a_return_is_not_answered(lab: Lab) -> None:
    lab.fill_purse()
    lab.recall(500, unknown_commits=1)
    lab.drain()
    assert lab.call(0, 500), "what the purse has left"
    lab.call(1, 501)


def recall_is_believed_by_its_reply(patch: Patch) -> None:
    """Whoever recalled tells the ledger what the reply said, until it answers; the journal's entry is not used."""
    patch.setattr(workers, "recall", workers_recall_by_reply)
    strict = booking.book

    def weak(entry: Any, *args: Any, **rest: Any) -> Any:
        return booking.Booking() if entry.kind == booking.RETURNED else strict(entry, *args, **rest)

    patch.setattr(booking, "book", weak)


def workers_recall_by_reply(worker: Any, lease: Any, tokens: int, *, close: bool) -> Any:
    simulation = worker.simulation
    call = limiter.Recall(simulation.world.uuid(), lease.account, lease.generation, lease.epoch, tokens, close)
    reply = yield from worker.send(limiter.recall_call(call))

    def credit() -> None:
        row = simulation.postgres.tables.accounts[lease.account]
        row.leased, row.available, lease.returned = (
            row.leased - reply.tokens,
            row.available + reply.tokens,
            lease.returned + reply.tokens,
        )

    while True:
        try:
            return (yield from simulation.postgres.commit(credit))
        except StoreUnavailable:
            yield 100


@dataclass(frozen=True)
class Ablation:
    rule: str
    off: Callable[[Patch], None]
    schedule: Callable[[Lab], None]
    tokens: int = 1_000


ABLATIONS = (
    Ablation("run id", no_run_id_check, two_primaries_spend_one_purse),
    Ablation("generation", no_generation_check, restored_ledger_sells_again),
    Ablation("lease expiry", no_lease_expiry, fenced_primary_outlives_its_lease),
    Ablation("clock set back", no_set_back_check, fenced_primary_turns_its_clock_back),
    Ablation("closing waits for MAXCALL", closing_without_grace, call_runs_when_its_lease_expires),
    Ablation("closing waits for the drain", closing_without_drain, only_the_journal_knows),
    Ablation("closing waits for spools", closing_without_spools, only_a_spool_knows),
    Ablation("reports are as of their counting", report_counts_as_of_its_arrival, report_arrives_late),
    Ablation("closing by a clock that only ticks", closing_by_the_wall_clock, clock_of_postgres_jumps),
    Ablation("quarantine", no_quarantine, gateway_freezes_and_its_call_runs_on),
    Ablation("passes, not seconds", death_by_seconds, clock_of_valkey_jumps),
    Ablation("S corrects X", sweep_has_the_last_word, swept_call_tells_what_it_came_to),
    Ablation("spool", no_spool, gateway_and_valkey_die_together),
    Ablation("progress in the spool", adopted_calls_end_with_nothing, gateway_dies_in_a_call_that_valkey_forgets),
    Ablation("identity in the mark", mark_without_identity, journal_is_lost_and_a_new_one_drained),
    Ablation("an end is booked once", every_entry_is_news, drainer_dies_between_commit_and_drained),
    Ablation("deadline of grants", no_deadline_of_grants, grant_arrives_after_its_lease_was_closed),
    Ablation("order of epochs", no_order_of_epochs, grant_is_delivered_twice),
    Ablation("a grant is sent once", grant_is_repeated, valkey_forgets_a_grant_whose_answer_was_lost),
    Ablation("own purse only", holds_move_any_purse, hold_ends_in_the_next_epoch, tokens=1_500),
    Ablation("a return is booked once", every_return_is_news, return_is_drained_twice),
    Ablation("recall by journal", recall_is_believed_by_its_reply, commit_of_a_return_is_not_answered),
)

each = pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda ablation: ablation.rule.replace(" ", "-"))


@each
def test_schedule_is_clean_with_all_rules(ablation: Ablation) -> None:
    ablation.schedule(Lab(ablation.tokens))


@each
def test_schedule_breaks_a_promise_without_the_rule(ablation: Ablation, monkeypatch: pytest.MonkeyPatch) -> None:
    ablation.off(monkeypatch)
    with pytest.raises(Violation):
        ablation.schedule(Lab(ablation.tokens))
