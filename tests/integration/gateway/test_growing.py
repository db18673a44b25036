"""Holds of a gateway's that grow: from their lease, then from the ledger, and known to whoever must end them."""

import asyncio
from collections.abc import Callable

import pytest
from redis import Redis

from apps.core.errors import HoldNotFound, InsufficientBudget, InsufficientQuota
from apps.limiter.api import Purse, hold_key, purse_key
from apps.quotas import api as quotas
from gateway.control_plane import Bucket, Budget, Policy, RefusalKind
from gateway.quota import LimitReached
from tests.integration.gateway.conftest import Backend, Payer, demand, ended
from tests.integration.gateway.test_spool import dies, ledgers, the_ledger_drains

PurseOf = Callable[[Payer], Purse]


async def test_a_hold_grows_from_its_lease_and_then_from_the_ledger(backend: Backend, purse_of: PurseOf) -> None:
    payer = await backend.open_payer(10_000)
    running = demand(payer, 100)
    admitted = await backend.quota.admit(running)
    await backend.quota.extend(running, 200)
    assert (running.amount, purse_of(payer).reserved) == (300, 300)
    await backend.quota.extend(running, 5_000)
    purse = purse_of(payer)
    assert (running.amount, purse.reserved, purse.epoch) == (5_300, 5_300, admitted.epoch)
    settled = await backend.quota.end(running, admitted, ended(running, 5_299))()
    assert (settled.charged, settled.released, settled.absorbed) == (5_299, 1, 0)
    assert await backend.database.run(quotas.check_identities, payer.account) == []


async def test_fifty_that_grow_at_once_never_hold_more_than_was_granted(backend: Backend, purse_of: PurseOf) -> None:
    payer = await backend.open_payer(1_000)
    calls = [demand(payer, 10) for _ in range(50)]
    for call in calls:
        await backend.quota.admit(call)
    outcomes = await asyncio.gather(*(backend.quota.extend(call, 30) for call in calls), return_exceptions=True)
    grown = [call for call, outcome in zip(calls, outcomes, strict=True) if outcome is None]
    assert len(grown) == 16, "of 500 tokens that were left"
    assert all(outcome is None or isinstance(outcome, InsufficientQuota) for outcome in outcomes)
    assert {call.amount for call in grown} == {40}
    assert purse_of(payer).reserved == sum(call.amount for call in calls) == 980
    assert await backend.database.run(quotas.check_identities, payer.account) == []


async def test_a_hold_grows_within_its_budgets_and_its_bucket(backend: Backend) -> None:
    payer = await backend.open_payer(10_000)
    running = demand(payer, 100, budgets=(Budget(f"key:{payer.id}", 500),))
    await backend.quota.admit(running)
    await backend.quota.extend(running, 400)
    with pytest.raises(InsufficientBudget):
        await backend.quota.extend(running, 1)
    other = await backend.open_payer(10_000)
    narrow = demand(other, 100, policy=Policy(Bucket(150, 1)))
    await backend.quota.admit(narrow)
    with pytest.raises(LimitReached) as refused:
        await backend.quota.extend(narrow, 51)
    assert (refused.value.refusal.kind, narrow.amount) == (RefusalKind.FULL, 100)


async def test_a_hold_that_has_ended_or_is_forgotten_does_not_grow(backend: Backend, valkey: Redis) -> None:
    payer = await backend.open_payer(10_000)
    done, _ = await backend.call(payer, 100, 60)
    running = demand(payer, 100)
    await backend.quota.admit(running)
    valkey.delete(purse_key(payer.account), hold_key(payer.account, running.hold))
    for call in (done, running):
        with pytest.raises(HoldNotFound):
            await backend.quota.extend(call, 10)
        assert call.amount == 100


async def test_what_a_forgotten_hold_had_grown_to_is_charged(
    backend: Backend, successor: Backend, valkey: Redis
) -> None:
    """By the gateway that ended it, and by the one that adopts a dead one's spool."""
    payer = await backend.open_payer(10_000)
    told, untold = demand(payer, 100), demand(payer, 100)
    admitted = await backend.quota.admit(told)
    await backend.quota.admit(untold)
    for call in (told, untold):
        await backend.quota.extend(call, 200)
    await backend.quota.renew([(untold, 250)])
    valkey.delete(purse_key(payer.account), *(hold_key(payer.account, call.hold) for call in (told, untold)))
    settled = await backend.quota.end(told, admitted, ended(told, 290))()
    assert (settled.charged, settled.absorbed) == (290, 0)
    dies(backend)

    await successor.keeper._adopt()
    await successor.keeper._send_again(successor.quota.send)
    await the_ledger_drains(successor)
    assert [(await ledgers(successor, call.hold))["charged"] for call in (told, untold)] == [290, 250]
    assert len(successor.spool.book) == 0
