"""Calls spend leases: one round trip each, never more than was granted, whatever Valkey forgets."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis

from apps.core.errors import AccountSuspended, InsufficientBudget, InsufficientQuota, StoreUnavailable
from apps.limiter.api import Purse, hold_key, purse_key, revoke_calls
from apps.quotas import api as quotas
from gateway.control_plane import Admitted, Bucket, Budget, Claim, ClaimEnd, Mode, Policy, Refusal, RefusalKind
from gateway.quota import DEAD, SWEPT, LimitReached
from tests.integration.gateway.conftest import Backend, Payer, demand, ended

PurseOf = Callable[[Payer], Purse]


async def test_the_first_call_takes_a_lease_and_those_after_it_ask_nobody(
    backend: Backend, purse_of: PurseOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer = await backend.open_payer(10_000)
    asked = count_asking(backend, monkeypatch)
    for _ in range(5):
        await backend.call(payer, 100, 20)
    assert asked == [payer.account]
    purse = purse_of(payer)
    assert (purse.granted, purse.spent, purse.reserved, purse.live) == (400, 100, 0, 0)
    assert ((await backend.balance(payer)).leased, (await backend.balance(payer)).available) == (400, 9600)


def count_asking(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The accounts for which the ledger is asked, in order."""
    asked: list[object] = []
    ensure = backend.database.ensure_lease

    async def counted(need: Any) -> Any:
        asked.append(need.account)
        return await ensure(need)

    monkeypatch.setattr(backend.database, "ensure_lease", counted)
    return asked


async def test_of_five_hundred_at_once_exactly_those_are_admitted_that_there_are_tokens_for(
    backend: Backend, purse_of: PurseOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer = await backend.open_payer(100 * 10 + 7)
    asked = count_asking(backend, monkeypatch)
    outcomes = await asyncio.gather(
        *(backend.quota.admit(demand(payer, 10)) for _ in range(500)), return_exceptions=True
    )
    counts = Counter(type(outcome) for outcome in outcomes)
    assert counts == {Admitted: 100, InsufficientQuota: 400}
    refusal = next(outcome for outcome in outcomes if isinstance(outcome, InsufficientQuota))
    assert (refusal.needed, refusal.granted, refusal.held) == (10, 1007, 1000)
    assert len(asked) <= 12, "one request at a time, for all who wait"
    purse = purse_of(payer)
    assert (purse.reserved, purse.granted <= 1007) == (1000, True)
    assert await backend.database.run(quotas.check_identities, payer.account) == []


async def test_two_gateways_share_a_purse_and_sell_nothing_twice(stores: Any, tmp_path: Any, purse_of: PurseOf) -> None:
    gateways = [await Backend(*stores, tmp_path).start() for _ in range(3)]
    payer = await gateways[0].open_payer(500)
    calls = [gateway.quota.admit(demand(payer, 10)) for gateway, _ in itertools.product(gateways, range(40))]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert Counter(type(outcome) for outcome in outcomes) == {Admitted: 50, InsufficientQuota: 70}
    assert purse_of(payer).reserved == 500
    for gateway in gateways:
        await gateway.quota.close()


async def test_a_purse_is_topped_up_beside_the_calls(backend: Backend, purse_of: PurseOf) -> None:
    payer = await backend.open_payer(100_000)
    await backend.call(payer, 100, 100)
    before = purse_of(payer).granted
    for _ in range(3):
        await backend.call(payer, 100, 100)
    await backend.supply.close()
    purse = purse_of(payer)
    assert purse.granted > before
    assert purse.epoch == (await backend.call(payer, 100, 100))[1].epoch
    assert (await backend.balance(payer)).leased == purse.granted


async def test_a_call_larger_than_what_the_purse_has_gets_a_part_at_once(backend: Backend, purse_of: PurseOf) -> None:
    payer = await backend.open_payer(10_000)
    await backend.call(payer, 100, 10)
    asked, _ = await backend.call(payer, 9_000, 8_000)
    assert purse_of(payer).spent == 8_010
    assert asked.hold in backend.spool.book


async def test_who_has_no_account_or_may_not_spend_is_told_so(backend: Backend) -> None:
    stranger = Payer(uuid4(), quotas.account_id("user", uuid4(), "openai"))
    with pytest.raises(InsufficientQuota):
        await backend.quota.admit(demand(stranger, 1))
    payer = await backend.open_payer(100)
    await backend.database.run(quotas.suspend, payer.account)
    with pytest.raises(AccountSuspended):
        await backend.quota.admit(demand(payer, 1))


async def test_after_a_flush_a_new_epoch_is_spent_and_what_had_ended_is_told_again(
    backend: Backend, purse_of: PurseOf, valkey: Redis
) -> None:
    payer = await backend.open_payer(10_000)
    running = demand(payer, 100)
    first = await backend.quota.admit(running)
    valkey.delete(purse_key(payer.account), hold_key(payer.account, running.hold))
    second = (await backend.call(payer, 100, 70))[1]
    assert second.epoch == first.epoch + 1
    assert await backend.quota.renew([(running, 5)]) == {}, "nobody sells its tokens before it must have ended"
    settled = await backend.quota.end(running, first, ended(running, 80))()
    assert (settled.first, purse_of(payer).spent) == (False, 70), "noted for the ledger; the new purse is not its own"
    entry = backend.spool.book._waiting[running.hold]
    assert entry.journal
    balance = await backend.balance(payer)
    assert (balance.leased, balance.available + balance.leased) == (4 * 100 + 9_600 // 10, 10_000)


async def test_who_was_refused_before_the_epoch_began_does_not_report_it_lost(backend: Backend) -> None:
    payer = await backend.open_payer(10_000)
    early = demand(payer, 100)
    refusal = await backend.quota._reserve(early)
    assert isinstance(refusal, Refusal)
    first = (await backend.call(payer, 100, 70))[1]

    second = await backend.quota._when_supplied(early, refusal, backend.quota._reserve)

    assert second.epoch == first.epoch


async def test_a_ledger_of_another_generation_voids_the_purses(backend: Backend, purse_of: PurseOf) -> None:
    payer = await backend.open_payer(10_000)
    first = (await backend.call(payer, 100, 10))[1]
    generation = await backend.database.run(quotas.bump_generation, "a drill")
    backend.supply.generation = generation - 1
    assert (await backend.call(payer, 100, 10))[1].epoch == first.epoch, "one that has not heard of it goes on"
    backend.supply.generation = generation
    second = (await backend.call(payer, 100, 10))[1]
    assert second.epoch > first.epoch
    assert purse_of(payer).generation == generation


async def test_one_that_has_not_heard_of_the_generation_learns_it_with_the_next_lease(backend: Backend) -> None:
    await backend.database.run(quotas.bump_generation, "a drill")
    payer = await backend.open_payer(1_000)
    backend.supply.generation = 1
    await backend.call(payer, 10, 10)
    assert backend.supply.generation == await backend.database.run(quotas.ledger_generation)


async def test_exactly_the_calls_that_a_budget_affords(backend: Backend) -> None:
    payer = await backend.open_payer(100_000)
    budget = Budget(f"k{uuid4().hex}", 55)
    calls = [backend.quota.admit(demand(payer, 10, budgets=(budget,))) for _ in range(20)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert Counter(type(outcome) for outcome in outcomes) == {Admitted: 5, InsufficientBudget: 15}
    other = demand(payer, 10, budgets=(Budget(f"k{uuid4().hex}", 10),))
    assert isinstance(await backend.quota.admit(other), Admitted)


async def test_calls_at_once_and_requests_per_minute_are_limited_by_the_same_script(backend: Backend) -> None:
    payer = await backend.open_payer(100_000)
    crowd = Policy(Bucket(10**9, 10**12), concurrency=2)
    running = [demand(payer, 10, policy=crowd) for _ in range(2)]
    admitted = [await backend.quota.admit(one) for one in running]
    refusal = await refused(backend, payer, policy=crowd)
    assert (refusal.kind, refusal.limit, refusal.used) == (RefusalKind.CONCURRENCY, 2, 2)
    await backend.quota.end(running[0], admitted[0], ended(running[0], 3))()
    assert isinstance(await backend.quota.admit(demand(payer, 10, policy=crowd)), Admitted)

    busy = Policy(Bucket(10**9, 10**12), requests_per_minute=3)
    for _ in range(3):
        await backend.quota.admit(demand(payer, 10, policy=busy))
    refusal = await refused(backend, payer, policy=busy)
    assert (refusal.kind, refusal.limit) == (RefusalKind.RPM, 3)
    assert 0 < refusal.wait_ms <= 20_000


async def refused(backend: Backend, payer: Payer, **more: Any) -> Any:
    with pytest.raises(LimitReached) as reached:
        await backend.quota.admit(demand(payer, 10, **more))
    return reached.value.refusal


async def test_a_shaped_call_that_leaves_before_its_turn_frees_pour_place_and_hold(
    backend: Backend, purse_of: PurseOf
) -> None:
    payer = await backend.open_payer(100_000)
    shaped = Policy(Bucket(10, 1_000), mode=Mode.SHAPE, max_wait_ms=30_000)
    await backend.quota.admit(demand(payer, 10, policy=shaped))
    waiting = demand(payer, 10, policy=shaped)
    place = await backend.quota.admit(waiting)
    assert 9_000 < place.start_in_ms <= 10_000
    await backend.quota.end(waiting, place, ended(waiting, 0, ClaimEnd.FREE, before_start=True))()
    successor = await backend.quota.admit(demand(payer, 10, policy=shaped))
    assert successor.start_in_ms <= place.start_in_ms
    assert purse_of(payer).live == 2


async def test_a_request_that_names_itself_runs_once(backend: Backend) -> None:
    payer, other = await backend.open_payer(10_000), await backend.open_payer(10_000)
    claim, changed = Claim("a" * 64, "b" * 64, 60_000), Claim("a" * 64, "c" * 64, 60_000)
    first = demand(payer, 10, claim=claim)
    outcomes = await asyncio.gather(
        backend.quota.admit(first),
        *(backend.quota.admit(demand(payer, 10, claim=claim)) for _ in range(9)),
        return_exceptions=True,
    )
    kinds = Counter(o.refusal.kind for o in outcomes if isinstance(o, LimitReached))
    assert kinds == {RefusalKind.RUNNING: 9}
    assert (await refused(backend, payer, claim=changed)).kind is RefusalKind.MISMATCH
    assert isinstance(await backend.quota.admit(demand(other, 10, claim=claim)), Admitted)
    admitted = next(o for o in outcomes if isinstance(o, Admitted))
    winner = first if isinstance(outcomes[0], Admitted) else None
    assert winner is first, "the first that came was the first that was asked for"
    await backend.quota.end(first, admitted, ended(first, 5, ClaimEnd.STORED))()
    again = await refused(backend, payer, claim=claim)
    assert (again.kind, again.stored, again.hold) == (RefusalKind.REPLAY, True, first.hold)


async def test_a_claim_of_a_call_that_failed_is_free_again(backend: Backend) -> None:
    payer, claim = await backend.open_payer(10_000), Claim("d" * 64, "e" * 64, 60_000)
    first = demand(payer, 10, claim=claim)
    admitted = await backend.quota.admit(first)
    await backend.quota.end(first, admitted, ended(first, 0, ClaimEnd.FREE))()
    assert isinstance(await backend.quota.admit(demand(payer, 10, claim=claim)), Admitted)


async def test_calls_of_a_dead_credential_are_not_admitted_and_must_stop(backend: Backend) -> None:
    payer, credential = await backend.open_payer(10_000), f"k{uuid4().hex}"
    running = demand(payer, 10, credential=credential)
    await backend.quota.admit(running)
    assert await backend.quota.renew([(running, 3)]) == {}
    for call in revoke_calls(credential, 60_000):
        await backend.store.call_function(call)
    assert (await refused(backend, payer, credential=credential)).kind is RefusalKind.DEAD
    assert await backend.quota.renew([(running, 3)]) == {running.hold: DEAD}


async def test_a_call_whose_hold_was_swept_must_stop(backend: Backend, valkey: Redis) -> None:
    payer = await backend.open_payer(10_000)
    running = demand(payer, 10)
    await backend.quota.admit(running)
    valkey.hset(hold_key(payer.account, running.hold), "st", "X")
    assert await backend.quota.renew([(running, 3)]) == {running.hold: SWEPT}


async def test_settling_again_changes_nothing(backend: Backend, purse_of: PurseOf) -> None:
    payer = await backend.open_payer(10_000)
    asked = demand(payer, 100)
    admitted = await backend.quota.admit(asked)
    settle = backend.quota.end(asked, admitted, ended(asked, 40))
    first = await settle()
    again = await asyncio.gather(*(settle() for _ in range(5)))
    assert (first.charged, first.released, first.first) == (40, 60, True)
    assert [(one.charged, one.first) for one in again] == [(40, False)] * 5
    assert purse_of(payer).spent == 40


async def test_without_a_spool_nothing_is_admitted_and_nothing_held(backend: Backend, purse_of: PurseOf) -> None:
    payer = await backend.open_payer(10_000)
    backend.spool.is_registered = False
    with pytest.raises(StoreUnavailable):
        await backend.quota.admit(demand(payer, 100))
    await backend.quota.close()
    assert (purse_of(payer).reserved, purse_of(payer).live) == (0, 0)


async def test_a_ledger_that_was_restored_is_told_of_the_spool_before_its_generation_is_spent(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer = await backend.open_payer(1_000)
    before = backend.supply.generation
    after = await backend.database.run(quotas.bump_generation, "a drill")

    async def away(*_args: Any) -> Any:
        raise StoreUnavailable("PostgreSQL is away")

    with monkeypatch.context() as outage:
        outage.setattr(backend.database, "register_spool", away)
        with pytest.raises(StoreUnavailable):
            await backend.quota.admit(demand(payer, 10))
        assert backend.supply.generation == before
    await backend.call(payer, 10, 10)
    assert backend.supply.generation == after
