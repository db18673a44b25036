"""Leases live on while they are used, come back when they are idle, and close only when nothing of them can still
come.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from apps.core.errors import NotFound
from apps.limiter.api import Limiter, shard_of
from apps.quotas.api import (
    Budget,
    Stamp,
    Upkeep,
    audit_account,
    balance,
    bump_generation,
    check_identities,
    expire_due_lots,
    freeze_closing,
    grant,
    ledger_generation,
    ledger_state,
    purses_of_leases,
    recall,
    register_spool,
    replay_dead_event,
    report_spool,
    start_over,
    thaw_closing,
    write_off_spool,
)
from apps.quotas.models import Lot
from tests.integration.quotas.needs import as_owner, leased, leases_of, topped_up
from tests.integration.quotas.payers import entries, funded_account
from tests.integration.quotas.purses import Call, applied, drained, filled, forget_journals, limiter, swept

pytestmark = pytest.mark.usefixtures("without_loops", "committed")

HOUR = "interval '1 hour'"


@pytest.fixture
def valkey() -> Iterator[Limiter]:
    as_owner("UPDATE quotas_spool SET state = 'CLOSED', ended_at = now() WHERE state = 'OPEN'")
    as_owner("UPDATE quotas_control SET closing_frozen = false")
    forget_journals()
    with limiter() as client:
        yield client


def state_of(account: UUID) -> list[str]:
    return [row["state"] for row in leases_of(account)]


def nearly_over(account: UUID, *, used: bool) -> None:
    """Ten minutes later: a lease with a second left."""
    ago = "0 seconds" if used else "1 hour"
    as_owner(
        f"UPDATE quotas_lease SET expires_at = now() + interval '1 second', used_at = now() - interval '{ago}',"  # noqa: S608
        " opened_at = now() - interval '1 hour' WHERE account_id = %s AND state = 'OPEN'",
        account,
    )


def long_over(account: UUID) -> None:
    """After the longest call, and then some, by the ledger's clock."""
    as_owner("UPDATE quotas_lease SET expires_tick = %s WHERE account_id = %s", ledger_state().tick - 10**7, account)


def test_a_used_lease_is_prolonged_in_both_stores(valkey: Limiter) -> None:
    account = funded_account(1000)
    filled(account, 10)
    before = valkey.purse(account)
    nearly_over(account, used=True)
    Upkeep(valkey).keep()
    after = valkey.purse(account)
    (row,) = leases_of(account)
    assert row["expires_at"] > datetime.now(UTC) + timedelta(minutes=9)
    assert before is not None
    assert after is not None
    assert after.expires_ms >= before.expires_ms
    assert after.granted == before.granted == 40


def test_an_idle_lease_comes_back_whole(valkey: Limiter) -> None:
    account = funded_account(1000)
    Call(filled(account, 100), 60).taken().settle(45)
    drained(account)
    nearly_over(account, used=False)
    Upkeep(valkey).keep()
    assert state_of(account) == ["DOUBT"]
    drained(account)
    assert state_of(account) == ["CLOSED"]
    assert (balance(account).available, balance(account).leased, balance(account).spent) == (955, 0, 45)
    assert check_identities(account) == []


def test_what_a_call_of_a_recalled_lease_does_not_use_comes_back_as_it_ends(valkey: Limiter) -> None:
    account = funded_account(1000)
    part = filled(account, 100)
    call = Call(part, 60).taken()
    valkey_before = valkey.purse(account)
    assert valkey_before is not None
    nearly_over(account, used=False)
    Upkeep(valkey).keep()
    assert state_of(account) == ["OPEN"], "a live call keeps it"
    start_over(purses_of_leases(account)[0])
    call.settle(20)
    drained(account)
    assert state_of(account) == ["CLOSED"]
    assert (balance(account).available, balance(account).spent) == (980, 20)


def test_a_lease_whose_purse_is_lost_goes_into_doubt(valkey: Limiter) -> None:
    account = funded_account(1000)
    filled(account, 10)
    valkey.ask(shard_of(account), "DEL", f"{{q{shard_of(account):02d}}}:purse:{account}")
    nearly_over(account, used=True)
    Upkeep(valkey).keep()
    assert state_of(account) == ["DOUBT"]


def test_a_lease_in_doubt_closes_after_its_time_and_gives_back_what_is_left(valkey: Limiter) -> None:
    account = funded_account(1000)
    first = leased(account, 10)
    leased(account, 10, seen_epoch=first.epoch)
    Upkeep(valkey).keep()
    assert state_of(account) == ["DOUBT", "OPEN"]
    as_owner(
        "UPDATE quotas_lease SET expires_tick = -100000000 WHERE account_id = %s AND epoch = %s", account, first.epoch
    )
    Upkeep(valkey).keep()
    assert state_of(account) == ["CLOSED", "OPEN"]
    assert (balance(account).available, balance(account).leased) == (960, 40)
    assert ("CLOSE", 40) in entries(account)
    assert check_identities(account) == []


def doubted(account: UUID) -> None:
    """A lease in doubt whose time is over."""
    leased(account, 10)
    as_owner("UPDATE quotas_lease SET state = 'DOUBT' WHERE account_id = %s", account)
    long_over(account)


def test_nothing_closes_while_a_spool_may_hold_calls_of_its_time(valkey: Limiter) -> None:
    account, spool = funded_account(1000), uuid4().hex
    stamp = register_spool(spool, "host-1")
    doubted(account)
    behind = Stamp(stamp.tick - 10**8, stamp.generation)
    report_spool(spool, "host-1", oldest_age_ms=None, pending=0, as_of=behind)
    Upkeep(valkey).keep()
    assert state_of(account) == ["DOUBT"], "its word is from before"
    report_spool(spool, "host-1", oldest_age_ms=10**8, pending=1, as_of=stamp)
    Upkeep(valkey).keep()
    assert state_of(account) == ["DOUBT"], "something waits from before"
    report_spool(spool, "host-1", oldest_age_ms=5, pending=1, as_of=Stamp(stamp.tick, stamp.generation + 1))
    Upkeep(valkey).keep()
    assert state_of(account) == ["DOUBT"], "another generation says nothing"
    assert write_off_spool(spool, "its disk is gone")
    Upkeep(valkey).keep()
    assert state_of(account) == ["CLOSED"]


def test_nothing_closes_while_its_shard_is_not_drained(valkey: Limiter) -> None:
    account = funded_account(1000)
    part = filled(account, 10)
    call = Call(part, 10).taken()
    call.settle(7)
    doubted_lease = "UPDATE quotas_lease SET state = 'DOUBT', expires_tick = -100000000 WHERE account_id = %s"
    as_owner(doubted_lease, account)
    valkey.ask(shard_of(account), "DEL", f"{{q{shard_of(account):02d}}}:purse:{account}")
    Upkeep(valkey).keep()
    assert state_of(account) == ["DOUBT"]
    drained(account)
    Upkeep(valkey).keep()
    assert state_of(account) == ["CLOSED"]
    assert (balance(account).spent, balance(account).available) == (7, 993)


def test_a_purse_that_is_there_gives_its_tokens_back_by_the_journal_not_by_the_clock(valkey: Limiter) -> None:
    account = funded_account(1000)
    call = Call(filled(account, 10), 10).taken()
    as_owner("UPDATE quotas_lease SET state = 'DOUBT', expires_tick = -100000000 WHERE account_id = %s", account)
    for _ in range(3):
        Upkeep(valkey).keep()
        drained(account)
    assert state_of(account) == ["DOUBT"], "a call may still come"
    call.settle(4)
    drained(account)
    assert state_of(account) == ["CLOSED"]
    assert (balance(account).spent, balance(account).available) == (4, 996)


def test_frozen_closing_closes_nothing_until_it_is_thawed(valkey: Limiter) -> None:
    account = funded_account(1000)
    doubted(account)
    freeze_closing("test")
    Upkeep(valkey).keep()
    assert state_of(account) == ["DOUBT"]
    thaw_closing("looked")
    Upkeep(valkey).keep()
    assert state_of(account) == ["CLOSED"]


def test_a_part_that_was_lost_on_its_way_is_sent_again_but_no_grant(valkey: Limiter) -> None:
    account = funded_account(1000)
    first = filled(account, 10)
    more = topped_up(first, 10, available_in_purse=0)
    as_owner("UPDATE quotas_lease_part SET made_at = made_at - interval '1 minute' WHERE account_id = %s", account)
    Upkeep(valkey).keep()
    purse = valkey.purse(account)
    assert purse is not None
    assert purse.granted == first.amount + more.amount
    assert applied(more).kind == "dup"

    other = funded_account(1000)
    leased(other, 10, run_id=valkey.run_id(shard_of(other)))
    as_owner("UPDATE quotas_lease_part SET made_at = made_at - interval '1 minute' WHERE account_id = %s", other)
    Upkeep(valkey).keep()
    assert valkey.purse(other) is None
    assert state_of(other) == ["DOUBT"]


def test_a_bump_of_the_generation_voids_all_purses(valkey: Limiter) -> None:
    account = funded_account(1000)
    part = filled(account, 10)
    before = ledger_generation()
    assert bump_generation("restored from a backup") == before + 1
    assert state_of(account) == ["DOUBT"]
    new = leased(account, 10, seen_epoch=part.epoch, purse_alive=True)
    assert (new.generation, new.epoch >> 32) == (before + 1, before + 1)
    as_owner("UPDATE quotas_control SET generation = %s", before)
    as_owner("UPDATE quotas_lease SET state = 'DOUBT' WHERE state = 'OPEN' AND account_id = %s", account)


def test_recalled_tokens_come_back_by_the_journal(valkey: Limiter) -> None:
    account = funded_account(1000)
    filled(account, 100)
    assert recall(account, 30, limiter=valkey) == 30
    assert balance(account).available == 900
    drained(account)
    assert (balance(account).available, balance(account).leased) == (930, 70)
    assert audit_account(account) == []


def expiring(account_tokens: int, seconds: int) -> UUID:
    """A payer with tokens that are over soon, and as many that are not."""
    payer = uuid4()
    more = {"payer_kind": "user", "payer_id": payer, "provider": "openai", "reason": "t", "actor": "t"}
    over = datetime.now(UTC) + timedelta(seconds=seconds)
    grant(**more, tokens=account_tokens, grant_id=uuid4(), expires_at=over, kind="allowance")  # type: ignore[arg-type]
    return grant(**more, tokens=account_tokens, grant_id=uuid4(), kind="purchase").id  # type: ignore[arg-type]


def test_what_expires_first_is_spent_first_and_what_is_left_of_it_expires(valkey: Limiter) -> None:
    account = expiring(100, 3600)
    Call(filled(account, 30), 30).taken().settle(30)
    drained(account)
    left = dict(Lot.objects.filter(account_id=account).values_list("kind", "remaining"))
    assert left == {"allowance": 70, "purchase": 100}
    as_owner("ALTER TABLE quotas_lot DISABLE TRIGGER quotas_lot_by_transfers")
    as_owner("UPDATE quotas_lot SET expires_at = now() WHERE account_id = %s AND kind = 'allowance'", account)
    as_owner("ALTER TABLE quotas_lot ENABLE TRIGGER quotas_lot_by_transfers")
    expire_due_lots(valkey)
    assert (balance(account).expired, balance(account).available) == (70, 100)
    assert check_identities(account) == []


def test_expired_tokens_out_on_a_lease_may_be_spent_and_come_back_to_expire(valkey: Limiter) -> None:
    account = expiring(100, 3600)
    part = filled(account, 90)
    as_owner("ALTER TABLE quotas_lot DISABLE TRIGGER quotas_lot_by_transfers")
    as_owner("UPDATE quotas_lot SET expires_at = now() WHERE account_id = %s AND kind = 'allowance'", account)
    as_owner("ALTER TABLE quotas_lot ENABLE TRIGGER quotas_lot_by_transfers")
    expire_due_lots(valkey)
    assert balance(account).expired == 10
    Call(part, 50).taken().settle(50)
    drained(account)
    as_owner(f"UPDATE quotas_lease SET used_at = now() - {HOUR} WHERE account_id = %s", account)  # noqa: S608
    expire_due_lots(valkey)
    drained(account)
    expire_due_lots(valkey)
    assert (balance(account).expired, balance(account).spent, balance(account).available) == (50, 50, 100)
    assert check_identities(account) == []


def test_swept_remainders_of_a_closed_purse_come_back_after_quarantine(valkey: Limiter) -> None:
    account = funded_account(1000)
    call = Call(filled(account, 100), 60).taken()
    call.beat(10)
    swept(account, quarantine=2)
    start_over(purses_of_leases(account)[0])
    swept(account, passes=3)
    drained(account)
    assert state_of(account) == ["CLOSED"]
    assert (balance(account).available, balance(account).spent) == (990, 10)
    call.settle(25)
    drained(account)
    assert (balance(account).available, balance(account).spent) == (975, 25), "late, but true"
    assert check_identities(account) == []


def test_purses_and_leases_are_in_step(valkey: Limiter) -> None:
    account = funded_account(1000)
    part = filled(account, 100)
    Call(part, 60).taken().settle(45)
    Call(part, 10).taken()
    (found,) = purses_of_leases(account)
    assert (found.leased, found.in_purse, found.journalled) == (100, 55, 45)
    assert found.standing == "open in step"
    drained(account)
    assert audit_account(account) == []


def test_a_budget_goes_with_a_part_that_is_sent_again(valkey: Limiter) -> None:
    account, budget = funded_account(1000), Budget(uuid4().hex[:10], 500)
    first = filled(account, 10)
    more = topped_up(first, 10, available_in_purse=30, budgets=(budget,))
    as_owner("UPDATE quotas_lease_part SET made_at = made_at - interval '1 minute' WHERE account_id = %s", account)
    Upkeep(valkey).keep()
    purse = valkey.purse(account)
    assert purse is not None
    assert dict(purse.budgets) == more.budgets == {budget.id: 40}


def test_a_dead_event_that_is_not_there() -> None:
    with pytest.raises(NotFound):
        replay_dead_event(uuid4(), "why not")
