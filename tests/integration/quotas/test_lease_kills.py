"""A drainer, an upkeep or a gateway that dies in the middle: what it has not committed never was, what it has is done
once.
"""

import textwrap
from uuid import UUID

import pytest

from apps.limiter.api import shard_of
from apps.quotas.api import Upkeep, balance, check_identities
from apps.quotas.drainer import book_entries
from tests.integration.quotas.needs import as_owner, leased, leases_of
from tests.integration.quotas.payers import entries, funded_account
from tests.integration.quotas.purses import Call, drained, filled, forget_journals, limiter
from tests.integration.quotas.test_kills import _blocked, _killed_while_waiting, _until_free

pytestmark = pytest.mark.usefixtures("without_loops", "committed")

BEFORE = {
    "the hold": "LOCK TABLE quotas_hold IN SHARE MODE",
    "the transfers": "LOCK TABLE quotas_transfer IN SHARE MODE",
    "the lease": "LOCK TABLE quotas_lease IN SHARE ROW EXCLUSIVE MODE",
    "the event": "LOCK TABLE outbox_event IN SHARE MODE",
}

DRAIN = """
from apps.limiter.api import Limiter
from apps.quotas.api import Drainer
import os
with Limiter(os.environ["QUOTA_REDIS_URL"]) as valkey:
    Drainer(valkey, [{shard}]).drain()
"""

ENSURE = """
from tests.integration.quotas.needs import leased
leased(UUID("{account}"), 10)
"""

CLOSE = """
from apps.quotas.closing import close_leases
from apps.quotas.api import Lease, LeaseState
close_leases([Lease(UUID("{account}"), {epoch}, 1, 40, 0, 0, LeaseState.DOUBT, expires_tick={tick})])
"""


@pytest.mark.parametrize("before", list(BEFORE))
def test_a_drainer_killed_before_its_commit_has_booked_nothing_and_lost_nothing(before: str) -> None:
    account = funded_account(1000)
    call = Call(filled(account, 100), 60).taken()
    call.settle(45)

    with _blocked(BEFORE[before]) as owner:
        _killed_while_waiting(owner, DRAIN.format(shard=shard_of(account)))

    _until_free(account)
    assert (balance(account).spent, balance(account).leased) == (0, 100)
    assert entries(account) == [("GRANT", 1000), ("LEASE", 100)]
    assert drained(account) == 1
    assert (balance(account).spent, balance(account).leased) == (45, 55)
    assert check_identities(account) == []


def test_a_drainer_killed_between_its_commit_and_valkey_books_nothing_twice() -> None:
    account = funded_account(1000)
    call = Call(filled(account, 100), 60).taken()
    call.settle(45)
    with limiter() as valkey:
        waiting = [entry for _, entry in valkey.journal(shard_of(account), 500) if entry is not None]
    book_entries(waiting)

    assert drained(account) == 1, "it is still there"
    assert balance(account).spent == 45
    assert [code for code, _ in entries(account)] == ["GRANT", "LEASE", "SETTLE"]
    assert drained(account) == 0
    assert check_identities(account) == []


@pytest.mark.parametrize("before", ["the transfers", "the lease"])
def test_whoever_takes_a_lease_and_dies_before_the_commit_has_taken_nothing(before: str) -> None:
    account = funded_account(1000)

    with _blocked(BEFORE[before]) as owner:
        _killed_while_waiting(owner, textwrap.dedent(ENSURE).format(account=account))

    _until_free(account)
    assert (balance(account).available, leases_of(account)) == (1000, [])


def test_whoever_takes_a_lease_and_dies_before_the_purse_leaves_tokens_that_come_back() -> None:
    account = funded_account(1000)
    lost = leased(account, 10)
    as_owner("UPDATE quotas_lease SET opened_at = opened_at - interval '3 seconds' WHERE account_id = %s", account)
    assert leased(account, 10).epoch == lost.epoch + 1, "the next one does not wait for it"
    assert balance(account).leased == 80
    as_owner("UPDATE quotas_spool SET state = 'CLOSED', ended_at = now() WHERE state = 'OPEN'")
    forget_journals()
    as_owner("UPDATE quotas_lease SET expires_tick = -100000000 WHERE account_id = %s AND state = 'DOUBT'", account)
    with limiter() as valkey:
        Upkeep(valkey).keep()
    assert (balance(account).available, balance(account).leased) == (960, 40)


@pytest.mark.parametrize("before", ["the transfers", "the lease"])
def test_a_closer_killed_before_its_commit_has_closed_nothing(before: str) -> None:
    account = funded_account(1000)
    part = leased(account, 10)
    as_owner("UPDATE quotas_lease SET state = 'DOUBT', expires_tick = -7 WHERE account_id = %s", account)

    with _blocked(BEFORE[before]) as owner:
        _killed_while_waiting(owner, CLOSE.format(account=account, epoch=part.epoch, tick=-7))

    _until_free(account)
    assert [row["state"] for row in leases_of(account)] == ["DOUBT"]
    assert (balance(account).available, balance(account).leased) == (960, 40)
    assert check_identities(account) == []


def test_an_entry_of_the_same_call_from_a_lost_and_a_new_journal_counts_once() -> None:
    account = funded_account(1000)
    part = filled(account, 100)
    call = Call(part, 60).taken()
    call.settle(45)
    drained(account)
    _forget_hold(account, call.id)
    assert call.settle(45).kind == "noted", "a spool tells a Valkey that has forgotten it"
    assert drained(account) == 1
    assert balance(account).spent == 45
    assert check_identities(account) == []


def _forget_hold(account: UUID, hold: UUID) -> None:
    with limiter() as valkey:
        valkey.ask(shard_of(account), "DEL", f"{{q{shard_of(account):02d}}}:hold:{hold}")
