"""What a spool waits for: nothing is forgotten before the ledger has it, and nothing is waited for after that."""

from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from gateway.spool_book import Book, position_of

CALL_MS, RESEND_MS = 900_000, 15_000
OLD, NEW = "journal-a", "journal-b"


def a_book() -> Book[str]:
    return Book(call_ms=CALL_MS, resend_ms=RESEND_MS)


def an_ended_call(book: Book[str], *, shard: int = 7, at: int = 0) -> UUID:
    hold = uuid4()
    book.admit(hold, shard, at)
    book.end(hold, "settled", at)
    return hold


def test_a_call_is_covered_by_its_own_journal_only() -> None:
    book = a_book()
    hold = an_ended_call(book)
    book.acknowledge(hold, OLD, (100, 2))
    assert book.cover(7, NEW, (9_999, 0)) == []  # Another journal's entries are later, and others.
    assert book.cover(8, OLD, (9_999, 0)) == []
    assert book.cover(7, OLD, (100, 1)) == []
    assert book.cover(7, OLD, (100, 2)) == [hold]
    assert (len(book), book.shards(), book.oldest_age_ms(10)) == (0, [], None)


def test_what_no_mark_covers_is_sent_again_and_again() -> None:
    book = a_book()
    hold = an_ended_call(book)
    assert list(book.due(RESEND_MS - 1)) == []
    assert list(book.due(RESEND_MS)) == [(hold, "settled")]
    assert list(book.due(RESEND_MS + 1)) == []
    book.acknowledge(hold, OLD, (5, 0))
    assert list(book.due(2 * RESEND_MS)) == [(hold, "settled")]  # Acknowledged is not committed.


def test_a_journal_that_was_lost_is_replaced_by_the_next_acknowledgement() -> None:
    book = a_book()
    hold = an_ended_call(book)
    book.acknowledge(hold, OLD, (100, 0))
    book.acknowledge(hold, NEW, (200, 0))
    assert book.cover(7, OLD, (300, 0)) == []
    assert book.cover(7, NEW, (200, 0)) == [hold]


def test_a_call_under_way_is_waited_for_when_it_must_have_ended() -> None:
    book = a_book()
    hold = uuid4()
    book.admit(hold, 1, 1_000)
    assert book.oldest_age_ms(1_000 + CALL_MS - 1) is None
    assert book.oldest_age_ms(1_000 + CALL_MS + 50) == 50
    book.end(hold, "late", 1_000 + CALL_MS + 70)  # Its gateway was frozen: the closing rule must not overlook it.
    assert book.oldest_age_ms(1_000 + CALL_MS + 100) == 100


def test_an_end_that_is_known_is_not_replaced() -> None:
    book = a_book()
    hold = an_ended_call(book)
    book.end(hold, "other", 5)
    book.admit(hold, 3, 5)
    assert list(book.due(RESEND_MS)) == [(hold, "settled")]
    book.end(uuid4(), "nobody's", 5)
    assert len(book) == 1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 50), st.sampled_from([OLD, NEW])), max_size=40), st.data())
def test_nothing_leaves_but_what_is_covered(calls: list[tuple[int, int, str]], data: st.DataObject) -> None:
    book, entries = a_book(), {}
    for shard, entry, journal in calls:
        hold = an_ended_call(book, shard=shard)
        book.acknowledge(hold, journal, (entry, 0))
        entries[hold] = (shard, journal, (entry, 0))
    for _ in range(5):
        shard, journal = data.draw(st.integers(0, 3)), data.draw(st.sampled_from([OLD, NEW]))
        drained = (data.draw(st.integers(0, 50)), 0)
        due = {hold for hold, (at, of, entry) in entries.items() if (at, of) == (shard, journal) and entry <= drained}
        assert set(book.cover(shard, journal, drained)) == due
        entries = {hold: at for hold, at in entries.items() if hold not in due}
        assert len(book) == len(entries)


def test_positions_are_compared_as_numbers() -> None:
    assert position_of("") < position_of("9-9") < position_of("10-0") < position_of("10-2") < position_of("10-10")
