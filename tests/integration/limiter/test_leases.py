"""Grant, top up, recall: tokens that PostgreSQL has debited come in once, and go back by the journal alone."""

from uuid import uuid4

from apps.limiter.api import (
    AppliedKind,
    BudgetMove,
    EntryKind,
    RecalledKind,
    RefusalKind,
    grant_call,
    topup_call,
)
from tests.integration.limiter.acting import Acting


def test_a_grant_opens_a_purse(account: Acting) -> None:
    assert account.grant(1000, budgets=(("b", 40),)).available == 1000
    purse = account.purse()
    assert (purse.run_id, purse.generation, purse.epoch, purse.closed) == (account.run, 1, 1, False)
    assert (purse.granted, purse.available, purse.budgets) == (1000, 1000, (("b", 40),))
    assert purse.expires_ms == account.now + 600_000


def test_a_grant_is_made_once_and_in_order(account: Acting) -> None:
    account.epoch = 2
    part = account.part(1000)
    assert account.make(grant_call(part)).kind is AppliedKind.OK
    assert account.make(grant_call(part)).kind is AppliedKind.STALE
    assert account.make(grant_call(account.part(1000, epoch=1))).kind is AppliedKind.STALE
    assert account.purse().granted == 1000


def test_a_later_generation_may_begin_its_epochs_anew(account: Acting) -> None:
    """After the ledger was restored from a backup, it may not know how far its epochs had come."""
    account.epoch = 7
    account.grant(1000)
    account.generation, account.epoch = 2, 0
    assert account.grant(500).kind is AppliedKind.OK
    assert account.entries() == [], "what a ledger that is no more has given is nothing that this one can take back"
    assert account.make(grant_call(account.part(1, generation=1, epoch=9))).kind is AppliedKind.STALE


def test_a_grant_that_is_late_or_for_another_run_is_refused(account: Acting) -> None:
    assert account.grant(1000, not_after_ms=account.now - 1).kind is AppliedKind.LATE
    assert account.grant(1000, run_id="f" * 40).kind is AppliedKind.RUN
    assert account.limiter.purse(account.id) is None
    assert account.grant(1000, not_after_ms=account.now).kind is AppliedKind.OK


def test_what_an_older_epoch_has_left_goes_back(account: Acting) -> None:
    account.grant(1000, budgets=(("b", 400), ("c", 0)))
    account.admit(300, budgets=("b",))
    account.grant(50)
    (entry,) = account.entries()
    assert (entry.kind, entry.epoch, entry.amount, entry.returned) == (EntryKind.RETURNED, 1, 700, 700)
    assert entry.budgets == (BudgetMove("b", 0, 100),)


def test_what_a_purse_of_another_run_has_left_does_not_go_back(account: Acting) -> None:
    """It is a copy: at the server of that run somebody may have spent it, or still be spending."""
    account.grant(1000)
    account.run = "f" * 40
    account.grant(50, run_id=account.run)
    assert (account.entries(), account.tokens()) == ([], (50, 0, 0, 0, 0))


def test_a_part_is_added_once(account: Acting) -> None:
    account.grant(1000, budgets=(("b", 10),))
    account.now += 300_000
    part = account.part(500, budgets=(("b", 5), ("c", 7)))
    assert account.make(topup_call(part)).available == 1500
    assert account.make(topup_call(part)).kind is AppliedKind.DUP
    purse = account.purse()
    assert (purse.granted, purse.budgets) == (1500, (("b", 15), ("c", 7)))
    assert purse.expires_ms == account.now + 600_000


def test_a_part_is_remembered_whatever_the_clock_does(account: Acting) -> None:
    account.grant(1000)
    part = account.part(500, not_after_ms=account.now + 10**9)
    account.make(topup_call(part))
    account.now += 3_600_000
    account.topup(0)
    account.now -= 7_200_000
    for _ in range(100):
        account.topup(0)
    assert account.make(topup_call(part)).kind is AppliedKind.DUP


def test_a_part_of_nothing_prolongs(account: Acting) -> None:
    account.grant(1000)
    account.now += 599_999
    account.topup(0)
    account.now += 599_999
    account.admit(1)
    account.now += 1
    assert account.refusal_kind(1) is RefusalKind.NOLEASE


def test_a_part_for_another_purse_is_refused(account: Acting) -> None:
    assert account.topup(1).kind is AppliedKind.NOLEASE
    account.grant(1000)
    assert account.topup(1, not_after_ms=account.now - 1).kind is AppliedKind.LATE
    assert account.topup(1, epoch=2).kind is AppliedKind.STALE
    assert account.topup(1, generation=2).kind is AppliedKind.STALE
    assert account.topup(1, run_id="f" * 40).kind is AppliedKind.NOLEASE
    account.recall(close=True)
    assert account.topup(1).kind is AppliedKind.NOLEASE


def test_a_recall_takes_what_is_available(account: Acting) -> None:
    account.grant(1000)
    account.admit(300)
    assert account.recall(200).tokens == 200
    assert account.tokens() == (500, 300, 0, 0, 200)
    recalled = account.recall(10_000)
    assert (recalled.kind, recalled.tokens) == (RecalledKind.OK, 500)
    assert [entry.returned for entry in account.entries()] == [200, 500]
    assert account.entries()[-1].id == recalled.entry_id
    account.topup(100)
    account.admit(100)


def test_a_recall_is_made_once_and_of_its_own_epoch(account: Acting) -> None:
    account.grant(1000)
    recall = uuid4()
    account.recall(200, id=recall)
    assert account.recall(200, id=recall).kind is RecalledKind.DUP
    assert account.recall(200, epoch=2).kind is RecalledKind.STALE
    account.run = "f" * 40
    assert account.recall(200).kind is RecalledKind.STALE
    assert account.tokens() == (800, 0, 0, 0, 200)


def test_nothing_to_recall_is_no_entry(account: Acting) -> None:
    account.grant(0)
    recalled = account.recall(200)
    assert (recalled.kind, recalled.tokens, recalled.entry_id) == (RecalledKind.OK, 0, "")
    assert account.recall(close=True).entry_id == ""
    assert account.entries() == []


def test_a_close_returns_the_parts_of_budgets(account: Acting) -> None:
    account.grant(1000, budgets=(("b", 400), ("c", 300)))
    hold = account.admit(100, budgets=("b",))
    account.recall(close=True)
    account.settle(hold, 30)
    returned, settled = account.entries()
    assert returned.budgets == (BudgetMove("b", 0, 300), BudgetMove("c", 0, 300))
    assert settled.budgets == (BudgetMove("b", 30, 70),)
    assert account.purse().budgets == (("b", 0), ("c", 0))


def test_granted_is_settled_and_returned_when_a_closed_purse_is_done(account: Acting) -> None:
    account.grant(1000)
    holds = [account.admit(100) for _ in range(5)]
    account.topup(500)
    account.settle(holds[0], 130)
    account.recall(close=True)
    for hold in holds[1:3]:
        account.settle(hold, 40)
    account.sweep(4 + 62)
    entries = account.entries()
    charged = {entry.subject: entry.charged for entry in entries if entry.kind is not EntryKind.RETURNED}
    assert sum(charged.values()) + sum(entry.returned for entry in entries) == 1500
    assert (account.purse().live, account.tokens()[:2]) == (0, (0, 0))
