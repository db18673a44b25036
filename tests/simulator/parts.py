"""How tokens come into a purse, and back. Schedules, and doubles without the rule; see ``test_ablations``."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from apps.core.errors import StoreUnavailable
from apps.limiter import api as limiter
from apps.limiter import twin
from apps.limiter.twin_holds import TwinHold
from apps.limiter.twin_store import Store
from apps.quotas import booking
from simulator import admission, workers
from simulator.booking import Bookkeeper
from simulator.figures import FIGURES
from simulator.lab import Lab

Patch = pytest.MonkeyPatch
HOUR_MS = 3_600_000
FAR_MS = 10 * HOUR_MS


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
