"""The library where the server is full, was killed, or is three."""

from pathlib import Path
from uuid import uuid4

import pytest

from apps.core.errors import StoreUnavailable
from apps.limiter.api import (
    SHARDS,
    AppliedKind,
    EndedKind,
    EntryKind,
    Limiter,
    Pulse,
    RefusalKind,
    drained_call,
    note_call,
    raise_version_calls,
    revoke_calls,
    shard_of,
)
from tests.integration.limiter.acting import Acting
from tests.integration.limiter.servers import cluster_of_three, started


def test_a_server_without_memory_takes_nothing_on_but_ends_what_runs(tmp_path: Path) -> None:
    with started(tmp_path / "full") as server, Limiter(server.valkey.url()) as limiter, server.client() as client:
        account = Acting(limiter)
        account.grant(1000)
        holds = [account.admit(100) for _ in range(2)]
        client.config_set("maxmemory", "1mb")
        for taking_on in (lambda: account.admit(1), lambda: account.topup(1)):
            with pytest.raises(StoreUnavailable, match="maxmemory"):
                taking_on()
        assert account.beat(holds[0], 5) is Pulse.OK
        assert account.settle(holds[0], 40).kind is EndedKind.SETTLED
        account.sweep(4)
        assert account.recall(close=True).tokens == 860
        end = account.entries()[-1]
        assert account.make(drained_call(account.shard, account.mark().journal_id, end.id, [end.id]))
        limiter.run_all(revoke_calls("k", 1000) + raise_version_calls("u", 1, 1000))
        limiter.run(note_call(3, EntryKind.DENIED, uuid4(), b"counts"))
        assert account.tokens() == (0, 0, 40, 100, 860)


def test_a_server_that_was_killed_has_all_that_it_said_and_admits_nobody_on_it(tmp_path: Path) -> None:
    with started(tmp_path / "killed") as server, Limiter(server.valkey.url()) as limiter:
        account = Acting(limiter)
        account.grant(1000)
        hold, other = account.admit(300), account.admit(100)
        before = account.settle(hold, 120)
        server.kill()
        with pytest.raises(StoreUnavailable):
            account.admit(1)
        server.start()
        account.run, run_before = limiter.run_id(account.shard), account.run
        assert account.run != run_before
        assert account.tokens() == (780, 100, 120, 0, 0)
        assert account.refusal_kind(1) is RefusalKind.NOLEASE
        again = account.settle(hold, 120, facts=b"facts")
        assert (again.kind, again.entry_id) == (EndedKind.REPEATED, before.entry_id)
        after = account.settle(other, 60)
        assert after.kind is EndedKind.SETTLED
        assert after.journal_id != before.journal_id
        assert account.grant(500).kind is AppliedKind.OK
        assert account.tokens() == (500, 0, 0, 0, 0)
        assert [entry.charged for entry in account.entries()] == [120, 60]


def test_a_server_that_has_forgotten_everything_admits_nobody_though_its_run_goes_on(tmp_path: Path) -> None:
    with started(tmp_path / "flushed") as server, Limiter(server.valkey.url()) as limiter, server.client() as client:
        account = Acting(limiter)
        account.grant(1000)
        hold = account.admit(300)
        lost = account.settle(account.admit(10), 10)
        client.flushall()
        assert limiter.run_id(account.shard) == account.run
        assert account.refusal_kind(1) is RefusalKind.NOLEASE
        account.now += 1
        noted = account.settle(hold, 120, facts=b"facts")
        assert (noted.kind, noted.charged) == (EndedKind.NOTED, 120)
        assert noted.journal_id != lost.journal_id


def test_a_cluster_of_three_serves_every_account(tmp_path: Path) -> None:
    with cluster_of_three(tmp_path) as (url, servers), Limiter(url) as limiter:
        accounts = [Acting(limiter) for _ in range(24)]
        assert len({account.run for account in accounts}) == len(servers)
        for account in accounts:
            account.grant(1000, budgets=(("b", 500),))
            holds = [account.admit(100, budgets=("b",)) for _ in range(3)]
            account.beat(holds[0], 5)
            account.settle(holds[0], 40)
            account.topup(10)
        for shard in {account.shard for account in accounts}:
            first = next(account for account in accounts if account.shard == shard)
            first.sweep(4)
        for account in accounts:
            assert account.recall(close=True).tokens == 1010 - 40 - 200
            assert account.tokens() == (0, 0, 40, 200, 770)
            kinds = [entry.kind for entry in account.entries()]
            assert kinds == [EntryKind.SETTLED, EntryKind.SWEPT, EntryKind.SWEPT, EntryKind.RETURNED]
        notes = limiter.run_all([note_call(shard, EntryKind.DENIED, uuid4(), b"") for shard in range(SHARDS)])
        assert len({journal.partition(":")[0] for journal, _ in notes}) == len(servers)
        limiter.run_all(revoke_calls("key:k", 60_000))
        for account in accounts:
            account.grant(1000)
            assert account.refusal_kind(1) is RefusalKind.DEAD
            assert shard_of(account.id) == account.shard
            mark = account.mark()
            assert account.make(drained_call(account.shard, mark.journal_id, mark.last, []))
