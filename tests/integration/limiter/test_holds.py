"""Reserve, heartbeat, extend, settle: what they do to purse and journal, and what they refuse."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from apps.limiter.api import (
    Admitted,
    Bucket,
    BudgetMove,
    ClaimEnd,
    EndedKind,
    EntryKind,
    Extended,
    ExtendedKind,
    Mode,
    Policy,
    Pulse,
    Refusal,
    RefusalKind,
    Requests,
    extend_call,
    raise_version_calls,
    revoke_calls,
)
from tests.integration.limiter.acting import Acting, claim


def test_a_hold_is_taken_and_settled(account: Acting) -> None:
    account.grant(1000)
    hold = account.admit(300)
    assert account.tokens() == (700, 300, 0, 0, 0)
    ended = account.settle(hold, 120)
    assert (ended.kind, ended.charged, ended.absorbed) == (EndedKind.SETTLED, 120, 0)
    assert account.tokens() == (880, 0, 120, 0, 0)
    (entry,) = account.entries()
    assert (entry.kind, entry.subject, entry.epoch, entry.generation) == (EntryKind.SETTLED, hold, 1, 1)
    assert (entry.amount, entry.charged, entry.facts, entry.payload) == (300, 120, b"facts", b"usage")
    assert (entry.id, account.mark().journal_id) == (ended.entry_id, ended.journal_id)


def test_a_settlement_that_is_repeated_changes_nothing(account: Acting) -> None:
    account.grant(1000)
    hold = account.admit(300)
    first = account.settle(hold, 120)
    again = account.settle(hold, 250, facts=b"facts")
    assert again == replace(first, kind=EndedKind.REPEATED)
    assert (account.tokens(), len(account.entries())) == ((880, 0, 120, 0, 0), 1)


def test_an_overrun_is_charged_to_what_is_available_and_absorbed_beyond(account: Acting) -> None:
    account.grant(1000)
    first, second = account.admit(300), account.admit(600)
    ended = account.settle(first, 450)
    assert (ended.charged, ended.absorbed) == (400, 50)
    assert account.tokens() == (0, 600, 400, 0, 0)
    assert account.settle(second, 0).charged == 0


def test_a_purse_never_gives_more_than_it_has(account: Acting) -> None:
    account.grant(1000)
    account.admit(900)
    refusal = account.refuse(101)
    assert (refusal.kind, refusal.limit, refusal.used, refusal.held) == (RefusalKind.LOW, 1000, 0, 900)
    assert (refusal.available, refusal.purse_alive, refusal.epoch) == (100, True, 1)
    account.admit(100)
    assert account.refusal_kind(1) is RefusalKind.LOW


def test_a_refusal_leaves_nothing_behind(account: Acting) -> None:
    policy = Policy(Bucket(500, 1), requests_per_minute=5, concurrency=3)
    account.grant(100)
    before = account.limiter.ask(account.shard, "KEYS", f"{{q{account.shard:02d}}}:*")
    for amount in (101, 500, 501):
        account.refuse(amount, policy=policy, claim=claim())
    account.refuse(50, policy=policy, budgets=("none",))
    assert account.limiter.ask(account.shard, "KEYS", f"{{q{account.shard:02d}}}:*") == before
    assert account.tokens() == (100, 0, 0, 0, 0)


@pytest.mark.parametrize("change", ["run", "generation", "time", "clock set back", "nothing there"])
def test_a_purse_that_is_not_alive_admits_nobody(account: Acting, change: str) -> None:
    if change != "nothing there":
        account.grant(1000)
    if change == "run":
        account.run = "f" * 40
    elif change == "generation":
        account.generation += 1
    elif change == "time":
        account.now += 600_000
    elif change == "clock set back":
        account.now -= 60_001
    refusal = account.refuse(1)
    assert (refusal.kind, refusal.purse_alive) == (RefusalKind.NOLEASE, False)
    assert (refusal.run_id, refusal.now_ms) == (account.run, account.now)
    assert refusal.epoch == (0 if change == "nothing there" else 1)


def test_passes_end_a_purse_where_the_clock_does_not(account: Acting) -> None:
    """A clock that is set back again and again would keep it for ever."""
    account.grant(1000)
    for _ in range(42):
        account.admit(1)
        account.sweep()
        account.now -= 15_050
    assert account.refusal_kind(1) is RefusalKind.NOLEASE


def test_half_of_what_there_was_is_low(account: Acting) -> None:
    account.grant(1000)
    lows = []
    for _ in range(3):
        answer = account.ask(account.order(250))
        assert isinstance(answer, Admitted)
        lows.append((answer.low, answer.available, answer.live))
    assert lows == [(False, 750, 1), (False, 500, 2), (True, 250, 3)]
    account.topup(1000)
    answer = account.ask(account.order(250))
    assert isinstance(answer, Admitted)
    assert (answer.low, answer.available) == (False, 1000)


def test_calls_at_once_are_counted(account: Acting) -> None:
    policy = Policy(Bucket(10**6, 1), concurrency=2)
    account.grant(1000)
    first, _ = account.admit(1, policy=policy), account.admit(1, policy=policy)
    refusal = account.refuse(1, policy=policy)
    assert (refusal.kind, refusal.limit, refusal.used) == (RefusalKind.CONCURRENCY, 2, 2)
    account.settle(first, 1)
    account.grant(1000)
    account.admit(1, policy=policy)
    assert account.refusal_kind(1, policy=policy) is RefusalKind.CONCURRENCY


def test_requests_per_minute_are_counted(account: Acting) -> None:
    policy = Policy(Bucket(10**6, 1), requests_per_minute=2)
    account.grant(1000)
    answer = account.ask(account.order(1, policy=policy))
    assert isinstance(answer, Admitted)
    assert answer.requests == Requests(limit=2, remaining=1, reset_ms=30_000)
    account.admit(1, policy=policy)
    refusal = account.refuse(1, policy=policy)
    assert (refusal.kind, refusal.limit, refusal.used, refusal.wait_ms) == (RefusalKind.RPM, 2, 2, 30_000)
    account.now += 29_999
    assert account.refuse(1, policy=policy).wait_ms == 1
    account.now += 1
    account.admit(1, policy=policy)


def test_the_bucket_refuses_with_the_exact_wait(account: Acting) -> None:
    policy = Policy(Bucket(100, 1000))
    account.grant(1000)
    hold = account.admit(90, policy=policy)
    refusal = account.refuse(20, policy=policy)
    assert (refusal.kind, refusal.limit, refusal.used, refusal.available) == (RefusalKind.FULL, 100, 90, 10)
    assert refusal.wait_ms == 10_000
    assert account.refusal_kind(101, policy=policy) is RefusalKind.NEVER
    account.settle(hold, 5)
    account.admit(95, policy=policy)


def test_a_backlog_refuses(account: Acting) -> None:
    account.grant(1000)
    for _ in range(3):
        account.settle(account.admit(1), 1)
    account.admit(1, journal_limit=3)
    refusal = account.refuse(1, journal_limit=2)
    assert (refusal.kind, refusal.limit, refusal.used) == (RefusalKind.BACKLOG, 2, 3)


def test_budgets_are_spent_beside_the_purse(account: Acting) -> None:
    account.grant(1000, budgets=(("b1", 100), ("b2", 500)))
    hold = account.admit(80, budgets=("b1", "b2"))
    assert account.purse().budgets == (("b1", 20), ("b2", 420))
    refusal = account.refuse(21, budgets=("b2", "b1"))
    assert (refusal.kind, refusal.budget, refusal.available) == (RefusalKind.BUDGET, "b1", 20)
    assert account.refuse(1, budgets=("b3",)).budget == "b3"
    account.settle(hold, 30)
    assert account.purse().budgets == (("b1", 70), ("b2", 470))
    (entry,) = account.entries()
    assert entry.budgets == (BudgetMove("b1", 30, 0), BudgetMove("b2", 30, 0))


def test_an_idempotency_key_is_one_calls(account: Acting) -> None:
    account.grant(1000)
    hold = account.admit(10, claim=claim())
    running = account.refuse(10, claim=claim())
    assert (running.kind, running.hold) == (RefusalKind.RUNNING, hold)
    assert account.refuse(10, claim=claim(fingerprint="f2")).kind is RefusalKind.MISMATCH
    account.settle(hold, 5, claim_end=ClaimEnd.STORED)
    replay = account.refuse(10, claim=claim())
    assert (replay.kind, replay.hold, replay.stored) == (RefusalKind.REPLAY, hold, True)
    other = Acting(account.limiter)
    other.grant(1000)
    other.admit(10, claim=claim())


def test_a_key_is_free_again_when_its_call_never_left(account: Acting) -> None:
    account.grant(1000)
    hold = account.admit(10, claim=claim())
    account.settle(hold, 0, claim_end=ClaimEnd.FREE)
    again = account.admit(10, claim=claim())
    account.settle(hold, 0, claim_end=ClaimEnd.FREE)
    assert account.refuse(10, claim=claim()).hold == again


def test_a_key_whose_answer_was_not_kept_says_so(account: Acting) -> None:
    account.grant(1000)
    account.settle(account.admit(10, claim=claim()), 5, claim_end=ClaimEnd.DONE)
    replay = account.refuse(10, claim=claim())
    assert (replay.kind, replay.stored) == (RefusalKind.REPLAY, False)


def test_the_same_hold_is_not_taken_twice(account: Acting) -> None:
    account.grant(1000)
    hold = account.admit(10, claim=claim())
    assert account.refusal_kind(10, hold=hold, claim=claim()) is RefusalKind.DUP
    assert account.purse().reserved == 10


def test_a_reservation_that_comes_after_its_end_takes_nothing(account: Acting) -> None:
    account.grant(1000)
    hold = uuid4()
    assert account.settle(hold, 0, facts=b"facts").kind is EndedKind.NOTED
    assert account.refusal_kind(10, hold=hold) is RefusalKind.DUP


def test_an_unknown_hold_is_noted_only_with_its_facts(account: Acting) -> None:
    account.grant(1000)
    hold = uuid4()
    assert account.settle(hold, 70).kind is EndedKind.UNKNOWN
    assert account.entries() == []
    noted = account.settle(hold, 170, facts=b"other facts")
    assert (noted.kind, noted.charged, noted.absorbed) == (EndedKind.NOTED, 100, 70)
    assert account.settle(hold, 170, facts=b"other facts").kind is EndedKind.REPEATED
    (entry,) = account.entries()
    assert (entry.facts, entry.charged, entry.id) == (b"other facts", 100, noted.entry_id)
    assert account.tokens() == (1000, 0, 0, 0, 0)


def test_a_hold_of_another_epoch_moves_nothing_but_the_journal(account: Acting) -> None:
    account.grant(1000)
    hold = account.admit(300)
    account.grant(500)
    ended = account.settle(hold, 400)
    assert (ended.charged, ended.absorbed) == (300, 100)
    assert account.tokens() == (500, 0, 0, 0, 0)
    returned, settled = account.entries()
    assert (returned.kind, returned.epoch, returned.returned) == (EntryKind.RETURNED, 1, 700)
    assert (settled.kind, settled.epoch, settled.charged, settled.returned) == (EntryKind.SETTLED, 1, 300, 0)
    assert account.purse().live == 0


def test_a_hold_of_another_run_moves_nothing_but_the_journal(account: Acting) -> None:
    account.grant(1000)
    hold = account.admit(300)
    account.run = "f" * 40
    account.grant(500, run_id=account.run)
    assert account.settle(hold, 100).charged == 100
    assert account.tokens() == (500, 0, 0, 0, 0)
    assert [entry.kind for entry in account.entries()] == [EntryKind.SETTLED]


def test_a_closed_purse_covers_no_overrun(account: Acting) -> None:
    account.grant(1000, budgets=(("b", 400),))
    hold = account.admit(300, budgets=("b",))
    recalled = account.recall(close=True)
    assert recalled.tokens == 700
    assert account.refusal_kind(1) is RefusalKind.NOLEASE
    ended = account.settle(hold, 350)
    assert (ended.charged, ended.absorbed) == (300, 50)
    assert account.tokens() == (0, 0, 300, 0, 700)


def test_a_closed_purse_returns_what_a_hold_did_not_use(account: Acting) -> None:
    account.grant(1000)
    hold = account.admit(300)
    account.recall(close=True)
    account.settle(hold, 100)
    assert account.tokens() == (0, 0, 100, 0, 900)
    *_, entry = account.entries()
    assert (entry.charged, entry.returned) == (100, 200)


def test_a_heartbeat_notes_progress_that_never_falls(account: Acting) -> None:
    account.grant(1000)
    hold = account.admit(300)
    assert [account.beat(hold, 50), account.beat(hold, 20)] == [Pulse.OK, Pulse.OK]
    account.sweep(4)
    (entry,) = account.entries()
    assert (entry.progress, entry.charged) == (50, 50)
    assert account.beat(hold, 60) is Pulse.SWEPT
    account.settle(hold, 60)
    assert account.beat(hold, 60) is Pulse.ENDED
    assert account.beat(uuid4(), 60) is Pulse.UNKNOWN


def test_a_revoked_credential_is_refused_and_its_calls_are_told(account: Acting) -> None:
    account.grant(1000)
    name = f"key:{uuid4()}"
    hold = account.admit(10, credential=name)
    account.limiter.run_all(revoke_calls(name, 60_000))
    assert account.refusal_kind(10, credential=name) is RefusalKind.DEAD
    assert account.beat(hold, 1, credential=name) is Pulse.DEAD
    assert account.beat(hold, 1) is Pulse.OK


def test_a_raised_version_is_never_lowered(account: Acting) -> None:
    account.grant(1000)
    user = str(uuid4())
    hold = account.admit(10, user=user, token_version=3)
    account.limiter.run_all(raise_version_calls(user, 4, 60_000))
    account.limiter.run_all(raise_version_calls(user, 2, 60_000))
    assert account.refusal_kind(10, user=user, token_version=3) is RefusalKind.DEAD
    assert account.beat(hold, 1, user=user, token_version=3) is Pulse.DEAD
    account.admit(10, user=user, token_version=4)
    account.admit(10, user=user)


def test_a_hold_grows_by_what_is_available(account: Acting) -> None:
    account.grant(1000, budgets=(("b", 600),))
    hold = account.admit(300, budgets=("b",))

    assert grown(account, hold, 200) == Extended(ExtendedKind.OK, 500, 500)
    refusal = not_grown(account, hold, 101)
    assert (refusal.kind, refusal.budget, refusal.available) == (RefusalKind.BUDGET, "b", 100)
    account.topup(0, budgets=(("b", 1000),))
    refusal = not_grown(account, hold, 501)
    assert (refusal.kind, refusal.limit, refusal.held, refusal.available) == (RefusalKind.LOW, 1000, 500, 500)
    assert (refusal.epoch, refusal.purse_alive, refusal.run_id) == (account.epoch, True, account.run)
    assert account.tokens() == (500, 500, 0, 0, 0)
    assert account.settle(hold, 500).charged == 500
    assert grown(account, hold, 1) == Extended(ExtendedKind.LOST, 0, 0)


def grown(account: Acting, hold: UUID, tokens: int, policy: Policy | None = None) -> Extended:
    extended = account.make(extend_call(account.id, hold, tokens, policy or account.policy))
    assert isinstance(extended, Extended), extended
    return extended


def not_grown(account: Acting, hold: UUID, tokens: int, policy: Policy | None = None) -> Refusal:
    refusal = account.make(extend_call(account.id, hold, tokens, policy or account.policy))
    assert isinstance(refusal, Refusal), refusal
    return refusal


@pytest.mark.parametrize("mode", Mode)
def test_a_hold_grows_within_the_bucket_and_is_told_when_there_is_room(account: Acting, mode: Mode) -> None:
    policy = Policy(Bucket(100, 1000), mode=mode, max_wait_ms=600_000)
    account.grant(1000)
    hold = account.admit(60, policy=policy)
    assert grown(account, hold, 40, policy).amount == 100
    refusal = not_grown(account, hold, 30, policy)
    assert (refusal.kind, refusal.limit, refusal.used, refusal.wait_ms) == (RefusalKind.FULL, 100, 100, 30_000)
    account.now += 29_999
    assert not_grown(account, hold, 30, policy).wait_ms == 1
    account.now += 1
    assert grown(account, hold, 30, policy).amount == 130
    assert not_grown(account, hold, 101, policy).kind is RefusalKind.NEVER


def test_a_hold_of_a_purse_that_is_not_its_own_any_more_does_not_grow(account: Acting) -> None:
    account.grant(1000)
    hold = account.admit(100)
    account.grant(1000)
    assert grown(account, hold, 1) == Extended(ExtendedKind.LOST, 100, 0)
    assert account.tokens()[0] == 1000


def test_a_shaped_call_that_leaves_frees_hold_pour_and_place(account: Acting) -> None:
    policy = Policy(Bucket(100, 1000), mode=Mode.SHAPE, max_wait_ms=600_000)
    account.grant(1000)
    account.admit(100, policy=policy)
    order = account.order(80, policy=policy)
    waiting = account.ask(order)
    assert isinstance(waiting, Admitted)
    assert waiting.start_in_ms == 80_000
    later = account.ask(account.order(10, policy=policy))
    assert isinstance(later, Admitted)
    assert later.start_in_ms == 90_000
    account.settle(order.hold, 0, before_start=True)
    assert account.purse().available == 890
    last = account.ask(account.order(1, policy=policy))
    assert isinstance(last, Admitted)
    assert last.start_in_ms == 90_000, "not before one that came earlier"
