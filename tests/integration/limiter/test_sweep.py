"""The sweeper: death is counted in passes, and what a dead call leaves is kept back until it cannot run any more."""

from dataclasses import replace

from apps.limiter.api import (
    BudgetMove,
    EndedKind,
    EntryKind,
    Pulse,
    RefusalKind,
    sweep_call,
)
from tests.integration.limiter.acting import SWEEP, Acting, claim


def test_a_hold_without_a_sign_of_life_is_swept_after_four_passes(account: Acting) -> None:
    account.grant(1000, budgets=(("b", 500),))
    hold = account.admit(300, budgets=("b",))
    account.beat(hold, 90)
    assert [swept.swept for swept in account.sweep(3)] == [0, 0, 0]
    assert [swept.swept for swept in account.sweep()] == [1]
    assert account.tokens() == (700, 0, 90, 210, 0)
    (entry,) = account.entries()
    assert (entry.kind, entry.subject, entry.charged, entry.facts) == (EntryKind.SWEPT, hold, 90, b"facts")
    assert entry.budgets == (BudgetMove("b", 90, 0),)
    assert account.purse().live == 0


def test_a_hold_that_shows_life_is_not_swept(account: Acting) -> None:
    account.grant(1000)
    hold = account.admit(300)
    for _ in range(10):
        account.sweep(3)
        assert account.beat(hold, 1) is Pulse.OK
    assert account.entries() == []


def test_the_rest_is_kept_back_until_the_call_cannot_run_any_more(account: Acting) -> None:
    account.grant(1000, budgets=(("b", 1000),), passes=10**6, ttl_ms=10**9)
    account.admit(1000, budgets=("b",))
    account.sweep(4 + SWEEP.quarantine - 1)
    assert account.refusal_kind(1) is RefusalKind.LOW
    assert account.sweep()[0].freed == 1
    assert account.tokens() == (1000, 0, 0, 0, 0)
    account.admit(1000, budgets=("b",))


def test_a_late_settlement_corrects_what_was_swept(account: Acting) -> None:
    account.grant(1000)
    hold = account.admit(300)
    account.beat(hold, 90)
    account.sweep(4)
    ended = account.settle(hold, 200)
    assert (ended.kind, ended.charged) == (EndedKind.CORRECTED, 200)
    assert account.tokens() == (800, 0, 200, 0, 0)
    swept, settled = account.entries()
    assert (swept.charged, settled.charged, settled.kind) == (90, 200, EntryKind.SETTLED)
    assert account.settle(hold, 250).kind is EndedKind.REPEATED
    account.sweep(SWEEP.quarantine + 1)
    assert account.tokens() == (800, 0, 200, 0, 0)


def test_a_late_settlement_may_charge_less_than_the_progress(account: Acting) -> None:
    account.grant(1000)
    hold = account.admit(300)
    account.beat(hold, 90)
    account.sweep(4)
    assert account.settle(hold, 20).charged == 20
    assert account.tokens() == (980, 0, 20, 0, 0)


def test_after_quarantine_a_late_settlement_gets_what_is_available(account: Acting) -> None:
    account.grant(1000, passes=10**6, ttl_ms=10**9)
    hold = account.admit(300)
    account.sweep(4 + SWEEP.quarantine)
    account.admit(950)
    ended = account.settle(hold, 300)
    assert (ended.charged, ended.absorbed) == (50, 250)
    assert account.tokens() == (0, 950, 50, 0, 0)


def test_two_sweepers_make_one_pass(account: Acting) -> None:
    account.grant(1000)
    account.admit(300)
    for _ in range(3):
        account.sweep()
        for _ in range(10):
            account.now += 10
            account.make(sweep_call(account.shard, SWEEP))
        account.now -= 100
    assert (account.entries(), account.mark().number) == ([], 3)


def test_a_jump_of_the_clock_costs_one_pass(account: Acting) -> None:
    account.grant(1000)
    account.admit(300)
    account.sweep()
    for jump in (3_600_000, -3_600_000):
        account.now += jump
        for _ in range(5):
            account.now += 1
            account.make(sweep_call(account.shard, SWEEP))
    assert (account.entries(), account.mark().number) == ([], 3)


def test_a_pass_is_done_in_bounded_steps(account: Acting) -> None:
    account.grant(1000)
    for _ in range(5):
        account.admit(1)
    account.sweep(3)
    account.now += SWEEP.pass_ms
    small = replace(SWEEP, limit=2)
    swept = [account.make(sweep_call(account.shard, small)) for _ in range(3)]
    assert [(step.number, step.swept, step.more) for step in swept] == [(4, 2, True), (4, 2, True), (4, 1, False)]


def test_a_hold_of_another_run_is_swept_only_when_its_call_cannot_run_any_more(account: Acting) -> None:
    """It may be alive at the server of that run, if this one was promoted while that one lives on."""
    account.grant(1000, passes=10**6, ttl_ms=10**9)
    hold = account.admit(300)
    account.beat(hold, 90)
    account.run = "f" * 40
    account.sweep(4 + SWEEP.quarantine - 1)
    assert account.entries() == []
    account.sweep()
    (entry,) = account.entries()
    assert (entry.kind, entry.charged, entry.returned) == (EntryKind.SWEPT, 90, 0)
    assert account.tokens() == (910, 0, 90, 0, 0)
    assert account.settle(hold, 100).kind is EndedKind.CORRECTED


def test_a_hold_of_another_run_that_shows_life_here_is_not_swept(account: Acting) -> None:
    """A server that was restarted with its data: the gateway lives, and has connected anew."""
    account.grant(1000)
    hold = account.admit(300)
    account.run = "f" * 40
    for _ in range(30):
        account.sweep(3)
        assert account.beat(hold, 1) is Pulse.OK
    assert account.entries() == []
    assert account.settle(hold, 200).kind is EndedKind.SETTLED


def test_a_swept_hold_frees_its_key(account: Acting) -> None:
    account.grant(1000)
    account.admit(10, claim=claim())
    account.sweep(4)
    account.admit(10, claim=claim())


def test_a_swept_hold_of_an_older_epoch_moves_nothing_but_the_journal(account: Acting) -> None:
    account.grant(1000)
    hold = account.admit(300)
    account.beat(hold, 90)
    account.grant(50)
    account.sweep(4)
    assert account.tokens() == (50, 0, 0, 0, 0)
    assert [entry.charged for entry in account.entries()] == [0, 90]
    assert account.settle(hold, 120).charged == 120
    assert account.tokens() == (50, 0, 0, 0, 0)


def test_quarantine_of_a_closed_purse_goes_back(account: Acting) -> None:
    account.grant(1000, budgets=(("b", 300),), passes=10**6, ttl_ms=10**9)
    hold = account.admit(300, budgets=("b",))
    account.beat(hold, 90)
    account.sweep(4)
    account.recall(close=True)
    account.sweep(SWEEP.quarantine)
    assert account.tokens() == (0, 0, 90, 0, 910)
    *_, entry = account.entries()
    assert (entry.kind, entry.subject, entry.returned) == (EntryKind.RETURNED, hold, 210)
    assert entry.budgets == (BudgetMove("b", 0, 210),)
