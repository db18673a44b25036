"""Between a gateway, Valkey and the ledger no end of a call is lost, whichever of them forgets or dies."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from apps.core.errors import StoreUnavailable
from apps.limiter.api import Limiter, Purse, hold_key, journal_key, mark_key, purse_key, shard_of
from apps.quotas.drainer import Drainer
from apps.quotas.models import Hold, Spool
from gateway.spool_file import files_in
from tests.integration.gateway.conftest import Backend, Payer, demand, ended

PurseOf = Callable[[Payer], Purse]


def drained() -> int:
    """The ledger takes what the journals have; returns how many entries that were."""
    with Limiter(os.environ["QUOTA_REDIS_URL"]) as limiter:
        return Drainer(limiter, range(64)).drain()


async def the_ledger_drains(backend: Backend) -> None:
    await backend.database.run(drained)
    await backend.keeper._read_marks()


def hold_of(hold: object) -> Any:
    return Hold.objects.filter(id=hold).values("status", "charged", "absorbed", "epoch").first()


async def ledgers(backend: Backend, hold: object) -> Any:
    return await backend.database.run(hold_of, hold)


def dies(backend: Backend) -> None:
    """As far as others can see: its file is there, and nobody has it locked."""
    backend.spool.file.close()


async def test_what_the_ledger_has_is_not_waited_for_any_more(backend: Backend) -> None:
    payer = await backend.open_payer(10_000)
    asked, _ = await backend.call(payer, 100, 60)
    await backend.keeper._read_marks()
    assert len(backend.spool.book) == 1, "in the journal is not in the ledger"
    await the_ledger_drains(backend)
    assert len(backend.spool.book) == 0
    assert (await ledgers(backend, asked.hold))["charged"] == 60


async def test_what_a_lost_journal_had_is_told_again(stores: Any, tmp_path: Path, valkey: Redis) -> None:
    backend = await Backend(*stores, tmp_path, resend_ms=1).start()
    payer = await backend.open_payer(10_000)
    asked, _ = await backend.call(payer, 100, 60)
    shard = shard_of(payer.account)
    valkey.delete(journal_key(shard), mark_key(shard), purse_key(payer.account), hold_key(payer.account, asked.hold))
    await backend.call(payer, 100, 70)  # A new journal, whose entries are later.
    await the_ledger_drains(backend)
    assert asked.hold in backend.spool.book
    await backend.keeper._send_again(backend.quota.send)
    await the_ledger_drains(backend)
    assert len(backend.spool.book) == 0
    assert (await ledgers(backend, asked.hold))["charged"] == 60
    assert (await backend.balance(payer)).spent == 130


async def test_a_dead_gateways_calls_are_settled_by_the_next_one(
    backend: Backend, successor: Backend, purse_of: PurseOf
) -> None:
    payer = await backend.open_payer(10_000)
    done, _ = await backend.call(payer, 100, 60)
    running, untold = demand(payer, 100), demand(payer, 100)
    await backend.quota.admit(running)
    await backend.quota.renew([(running, 25)])
    admitted = await backend.quota.admit(untold)
    backend.quota.end(untold, admitted, ended(untold, 33))  # It died before it could tell Valkey.
    dies(backend)

    await successor.keeper._adopt()
    assert files_in(successor.spool.file.path.parent) == [successor.spool.file.path]
    await successor.keeper._send_again(successor.quota.send)
    await the_ledger_drains(successor)

    assert len(successor.spool.book) == 0
    charges = [(await ledgers(successor, one.hold))["charged"] for one in (done, running, untold)]
    assert charges == [60, 25, 33]
    assert (purse_of(payer).reserved, purse_of(payer).live, purse_of(payer).spent) == (0, 0, 118)


async def test_a_call_that_died_with_its_gateway_and_with_valkey_is_charged_what_it_had_come_to(
    backend: Backend, successor: Backend, valkey: Redis
) -> None:
    payer = await backend.open_payer(10_000)
    running = demand(payer, 100)
    await backend.quota.admit(running)
    await backend.quota.renew([(running, 25)])
    dies(backend)
    valkey.delete(purse_key(payer.account), hold_key(payer.account, running.hold))

    await successor.keeper._adopt()
    await successor.keeper._send_again(successor.quota.send)
    await the_ledger_drains(successor)
    assert (await ledgers(successor, running.hold))["charged"] == 25


async def test_a_spool_is_ended_only_when_its_heir_has_said_that_it_waits_for_its_calls(
    backend: Backend, successor: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer = await backend.open_payer(10_000)
    await backend.quota.admit(demand(payer, 100))
    dies(backend)

    async def away(*_args: Any, **_more: Any) -> None:
        raise StoreUnavailable("PostgreSQL is away")

    with monkeypatch.context() as outage:
        outage.setattr(successor.database, "report_spool", away)
        with pytest.raises(StoreUnavailable):
            await successor.keeper._adopt()
    assert len(files_in(backend.spool.file.path.parent)) == 2
    assert await successor.database.run(state_of, backend.spool.id) == ("OPEN", 0)

    await successor.keeper._adopt()
    assert await successor.database.run(state_of, backend.spool.id) == ("CLOSED", 0)
    assert await successor.database.run(state_of, successor.spool.id) == ("OPEN", 1)
    assert len(files_in(backend.spool.file.path.parent)) == 1


def state_of(spool: str) -> Any:
    return Spool.objects.values_list("state", "pending").get(id=spool)


async def test_a_gateway_that_stops_leaves_no_spool_or_leaves_it_to_others(
    backend: Backend, successor: Backend
) -> None:
    payer = await backend.open_payer(10_000)
    asked, _ = await backend.call(payer, 100, 60)
    await backend.keeper.close(0.05)  # Nobody drains.
    await successor.keeper._adopt()
    assert asked.hold in successor.spool.book
    await successor.keeper._send_again(successor.quota.send)
    await the_ledger_drains(successor)
    assert len(successor.spool.book) == 0
    await successor.keeper.close(5)
    assert files_in(successor.spool.file.path.parent) == []
    assert await successor.database.run(state_of, successor.spool.id) == ("CLOSED", 0)


async def test_a_spool_that_is_mostly_covered_is_written_anew(
    backend: Backend, successor: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.spool.ROTATE_BYTES", 10_000)
    payer = await backend.open_payer(100_000)
    running = demand(payer, 100)
    await backend.quota.admit(running)
    for _ in range(20):
        await backend.call(payer, 10, 5)
    before = backend.spool.file.size
    await the_ledger_drains(backend)
    assert backend.spool.file.size < before / 10
    dies(backend)
    await successor.keeper._adopt()
    assert [hold for hold, _ in successor.spool.book.due(10**15)] == [running.hold]
