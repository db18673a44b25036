"""The journal: in order whatever the clock does, deleted once it is in the ledger, and known by its identity."""

from uuid import uuid4

from apps.limiter.api import EntryKind, drained_call, journal_key, note_call, place
from tests.integration.limiter.acting import Acting


def test_entries_keep_their_order_whatever_the_clock_does(account: Acting) -> None:
    account.grant(10_000)
    ids = []
    for jump in (0, 0, 5, -3_600_000, 0, 7_200_000, -1):
        account.now += jump
        account.epoch += 1
        account.grant(10_000)
        ids.append(account.settle(account.admit(10), 5).entry_id)
    assert [place(entry) for entry in ids] == sorted(place(entry) for entry in ids)
    assert len(set(ids)) == len(ids)


def test_what_the_ledger_has_is_deleted_and_covered(account: Acting) -> None:
    account.grant(1000)
    ends = [account.settle(account.admit(10), 5) for _ in range(3)]
    journal, second = ends[0].journal_id, ends[1].entry_id
    assert account.make(drained_call(account.shard, journal, second, [ends[0].entry_id, second]))
    mark = account.mark()
    assert [mark.covers(end.journal_id, end.entry_id) for end in ends] == [True, True, False]
    assert (mark.drained, [entry.id for entry in account.entries()]) == (False, [ends[2].entry_id])
    assert account.make(drained_call(account.shard, journal, ends[2].entry_id, [ends[2].entry_id]))
    assert account.mark().drained


def test_a_mark_never_goes_back(account: Acting) -> None:
    account.grant(1000)
    ends = [account.settle(account.admit(10), 5) for _ in range(2)]
    for end in reversed(ends):
        assert account.make(drained_call(account.shard, end.journal_id, end.entry_id, []))
    assert account.mark().at == ends[1].entry_id


def test_what_was_drained_of_another_journal_is_not_taken_for_this_ones(account: Acting) -> None:
    account.grant(1000)
    lost = account.settle(account.admit(10), 5)
    account.limiter.ask(account.shard, "DEL", journal_key(account.shard), f"{{q{account.shard:02d}}}:mark")
    account.now -= 1
    found = account.settle(account.admit(10), 5)
    assert found.journal_id != lost.journal_id
    assert not account.make(drained_call(account.shard, lost.journal_id, lost.entry_id, [lost.entry_id]))
    assert not account.mark().covers(lost.journal_id, lost.entry_id)
    assert len(account.entries()) == 1


def test_a_run_of_the_server_has_a_journal_of_its_own(account: Acting) -> None:
    """A replica that was promoted may lack entries that its predecessor promised, and number its own the same."""
    account.grant(1000)
    first, second = account.admit(10), account.admit(10)
    before = account.settle(first, 5)
    account.run = "f" * 40
    after = account.settle(second, 5)
    assert after.journal_id != before.journal_id
    assert account.make(drained_call(account.shard, after.journal_id, after.entry_id, []))
    assert not account.mark().covers(before.journal_id, before.entry_id)
    again = account.settle(first, 5)
    assert account.mark().covers(again.journal_id, again.entry_id), "asked again, it says where the entry is now"


def test_entries_that_do_not_exist_are_not_drained(account: Acting) -> None:
    account.grant(1000)
    end = account.settle(account.admit(10), 5)
    milliseconds, sequence = place(end.entry_id)
    later = f"{milliseconds}-{sequence + 1}"
    assert not account.make(drained_call(account.shard, end.journal_id, later, []))
    assert account.mark().at == ""


def test_a_note_is_an_entry_that_moves_nothing(account: Acting) -> None:
    account.grant(1000)
    before, note = account.purse(), uuid4()
    journal, entry_id = account.make(note_call(account.shard, EntryKind.DENIED, note, b"\x00counts\xff"))
    ((_, entry),) = account.limiter.journal(account.shard, 10)
    assert entry is not None
    assert (entry.id, entry.kind, entry.subject, entry.account) == (entry_id, EntryKind.DENIED, note, None)
    assert (entry.payload, account.mark().journal_id) == (b"\x00counts\xff", journal)
    assert account.purse() == before


def test_an_entry_that_nobody_can_read_does_not_hide_the_others(account: Acting) -> None:
    account.grant(1000)
    account.limiter.ask(account.shard, "XADD", journal_key(account.shard), "1-1", "k", "?")
    end = account.settle(account.admit(10), 5)
    (unreadable, nothing), (readable, entry) = account.limiter.journal(account.shard, 10)
    assert (unreadable, nothing, readable) == ("1-1", None, end.entry_id)
    assert entry is not None
