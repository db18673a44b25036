"""Journal entries are booked in the ledger once: in any order, twice, by two drainers, late, or after a death in
between.
"""

from dataclasses import replace
from functools import partial
from uuid import UUID, uuid4

import pytest

from apps.core.ids import uuid7
from apps.limiter.api import Entry, EntryKind, note_call, shard_of
from apps.outbox.models import OutboxEvent
from apps.quotas.api import Budget, balance, budget_of, check_identities, ending_to_bytes, facts_to_bytes
from apps.quotas.drainer import TRIES, Drainer, book_entries
from apps.quotas.models import DeadEvent, Hold
from tests.integration.quotas.needs import as_owner, leased, leases_of
from tests.integration.quotas.payers import entries, facts, funded_account
from tests.integration.quotas.purses import Call, drained, filled, limiter, swept
from tests.integration.quotas.threads import at_once

pytestmark = pytest.mark.usefixtures("without_loops", "committed")


def events_of(hold: UUID) -> list[OutboxEvent]:
    """The usage events of a hold, oldest first."""
    return list(OutboxEvent.objects.filter(data__reservation_id=str(hold)).order_by("created_at"))


def test_a_call_is_charged_to_its_lease_and_has_its_receipt_and_event() -> None:
    account = funded_account(1000)
    part = filled(account, 100)
    call = Call(part, 60).taken()
    call.settle(45)

    assert drained(account) == 1

    assert (balance(account).spent, balance(account).leased, balance(account).available) == (45, 55, 900)
    row = Hold.objects.get(id=call.id)
    assert (row.status, row.amount, row.charged, row.absorbed, row.epoch) == ("SETTLED", 60, 45, 0, part.epoch)
    assert row.ending is not None
    assert row.ended_at is not None
    assert row.ending["usage"] == {"input": 20, "cached_input": 4, "output": 16, "reasoning": 2}
    assert row.taken_at <= row.ended_at
    (event,) = events_of(call.id)
    assert (event.id, event.data["charged"], event.data["held"], event.data["allowed"]) == (call.id, 45, 60, True)
    assert event.data["request_id"] == call.facts.request_id == row.request_id
    assert [row["settled"] for row in leases_of(account)] == [45]
    assert check_identities(account) == []
    assert drained(account) == 0


def test_a_call_without_cost_is_released() -> None:
    account = funded_account(1000)
    call = Call(filled(account, 100), 60).taken()
    call.settle(0)
    drained(account)
    assert Hold.objects.get(id=call.id).status == "RELEASED"
    assert entries(account)[-1] == ("LEASE", 100)


def test_an_overrun_beyond_the_purse_is_borne_by_the_house() -> None:
    account = funded_account(100)
    call = Call(filled(account, 100), 60).taken()
    call.settle(130)
    drained(account)
    assert (balance(account).spent, balance(account).absorbed, balance(account).available) == (100, 30, 0)
    assert check_identities(account) == []


def test_a_swept_call_is_charged_its_progress_and_corrected_by_its_settlement() -> None:
    account = funded_account(1000)
    call = Call(filled(account, 100), 60).taken()
    call.beat(20)
    swept(account)
    drained(account)
    assert (balance(account).spent, Hold.objects.get(id=call.id).status) == (20, "EXPIRED")

    call.settle(45)
    drained(account)

    assert (balance(account).spent, balance(account).leased) == (45, 55)
    row = Hold.objects.get(id=call.id)
    assert (row.status, row.charged) == ("SETTLED", 45)
    first, second = events_of(call.id)
    assert (first.data["charged"], second.data["charged"], second.data["corrects"]) == (20, 25, str(call.id))
    assert check_identities(account) == []


def test_a_swept_call_that_cost_less_gives_back_to_its_lease() -> None:
    account = funded_account(1000)
    call = Call(filled(account, 100), 60).taken()
    call.beat(20)
    swept(account)
    call.settle(5)
    assert drained(account) == 2, "both in one batch"
    assert (balance(account).spent, balance(account).leased) == (5, 95)
    assert Hold.objects.get(id=call.id).charged == 5
    assert check_identities(account) == []


def settled_entry(account: UUID, epoch: int, tokens: int, **more: object) -> Entry:
    """An entry of a call that was settled, as a drainer reads it."""
    call = Call(leased(funded_account(10), 1), 10)
    entry = Entry(
        "1795000000000-0", EntryKind.SETTLED, uuid7(), account, epoch, epoch >> 32, tokens, tokens, 0, 0, 0, (),
        facts_to_bytes(facts()), b"",
    )  # fmt: skip
    return replace(entry, payload=ending_to_bytes(call.settlement(tokens)), **more)  # type: ignore[arg-type]


def test_entries_in_any_order_and_repeated_come_to_the_same() -> None:
    account = funded_account(1000)
    epoch = leased(account, 100).epoch
    settled = settled_entry(account, epoch, 30)
    sweep = replace(settled, kind=EntryKind.SWEPT, charged=10, progress=10)
    back = replace(settled, kind=EntryKind.RETURNED, subject=uuid4(), charged=0, returned=7)
    for batch in ([settled], [sweep, back], [back], [settled, sweep], [back, settled]):
        book_entries(batch)
    assert (balance(account).spent, balance(account).leased, balance(account).available) == (30, 63, 907)
    assert len(events_of(settled.subject)) == 1
    assert check_identities(account) == []


def test_two_drainers_at_once_book_each_entry_once() -> None:
    account = funded_account(10_000)
    epoch = leased(account, 1000).epoch
    batch = [settled_entry(account, epoch, 3) for _ in range(40)]
    answers = at_once([partial(book_entries, batch), partial(book_entries, batch[::-1]), partial(book_entries, batch)])
    assert answers == [None, None, None]
    assert balance(account).spent == 120
    assert check_identities(account) == []


def test_a_call_of_a_closed_lease_is_charged_to_what_is_available_then_to_the_house() -> None:
    account = funded_account(100)
    epoch = leased(account, 30).epoch
    entry = settled_entry(account, epoch + 1, 90)
    book_entries([entry])
    assert (balance(account).spent, balance(account).absorbed) == (70, 20)
    assert entries(account)[-2:] == [("LATE", 70), ("ABSORB", 20)]
    assert check_identities(account) == []


def test_an_entry_of_another_generation_does_not_touch_the_lease_of_its_number() -> None:
    account = funded_account(100)
    epoch = leased(account, 30).epoch
    entry = replace(settled_entry(account, epoch, 10), generation=77)
    book_entries([entry])
    assert (balance(account).spent, balance(account).leased) == (10, 30)
    assert entries(account)[-1] == ("LATE", 10)


def test_budgets_move_with_their_calls() -> None:
    account, budget = funded_account(1000), Budget(uuid4().hex[:10], 500)
    part = filled(account, 100, budgets=(budget,))
    call = Call(part, 60, budgets=(budget,)).taken()
    call.settle(45)
    drained(account)
    assert budget_of(budget.id) == (45, 100 - 45)
    assert Hold.objects.get(id=call.id).budgets == [budget.id]
    assert check_identities(account) == []


def test_refusals_become_events_that_were_not_allowed() -> None:
    account = funded_account(10)
    payer, note = uuid4(), uuid7()
    payload = (
        b'{"payer_kind":"user","payer_id":"%s","provider":"openai","reason":"rate_limit_exceeded","second":1795000000,"count":7}'
        % str(payer).encode()
    )
    with limiter() as valkey:
        valkey.run(note_call(shard_of(account), EntryKind.DENIED, note, payload))
    drained(account)
    event = OutboxEvent.objects.get(id=note)
    assert (event.data["allowed"], event.data["count"], event.data["payer_id"]) == (False, 7, str(payer))


def test_an_entry_that_cannot_be_booked_is_parked_alone_after_five_tries() -> None:
    account = funded_account(1000)
    part = filled(account, 100)
    poison = note_call(shard_of(account), EntryKind.SETTLED, uuid7(), b"{")
    good = Call(part, 60).taken()
    with limiter() as valkey:
        valkey.run(poison)
        good.settle(45)
        drainer = Drainer(valkey, [shard_of(account)])
        assert drainer.drain() == 2
        assert balance(account).spent == 45, "the others go on meanwhile"
        assert not valkey.mark(shard_of(account)).drained
        assert [drainer.drain() for _ in range(TRIES)] == [1, 1, 1, 1, 0]
        assert valkey.mark(shard_of(account)).drained
    (parked,) = DeadEvent.objects.filter(shard=shard_of(account), state="PARKED")
    assert (parked.tries, parked.error) == (TRIES, f"LookupError: {parked.error.partition(': ')[2]}")
    as_owner("UPDATE quotas_dead_event SET state = 'DISCARDED' WHERE id = %s", parked.id)
