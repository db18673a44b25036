"""RELIABILITY.md I5: one key, one execution, one charge."""

import asyncio
from uuid import uuid4

from tests.faults.site.asking import Answer, Caller, calling
from tests.faults.site.backends import on_leases
from tests.faults.site.checks import unfinished
from tests.faults.site.site import Site
from tests.faults.site.witness import Log
from tests.functional.payers import Oracle, Payer, eventually, open_payer
from tests.functional.raw_client import RawCall, send

PARALLEL, TOKENS = 50, 5


async def duplicates(site: Site, payer: Payer, key: str) -> list[tuple[RawCall, bytes]]:
    """The same call many times at once, at all gateways."""
    urls = site.urls()

    async def one(number: int) -> tuple[RawCall, bytes]:
        orders = {"delay-ms": 500}
        call = await send(
            urls[number % len(urls)], payer, tokens=TOKENS, stream=False, orders=orders, idempotency_key=key
        )
        await call.head()
        body = await call.body()
        await call.leave()
        return call, body

    return await asyncio.gather(*(one(number) for number in range(PARALLEL)))


def served_calls(site: Site, calls: list[RawCall]) -> int:
    """How many of these requests the provider saw."""
    log = Log(site.stub.requests)
    assert eventually(lambda: log.under_way() == 0)
    return sum(len(log.served[call.request_id]) for call in calls)


@on_leases
def test_of_fifty_at_once_one_is_executed(site: Site) -> None:
    payer, key = open_payer(tokens=1_000_000), uuid4().hex

    answers = asyncio.run(duplicates(site, payer, key))

    calls = [call for call, _ in answers]
    executed = [call for call in calls if call.status == 200 and "idempotent-replayed" not in call.headers]
    assert len(executed) == 1
    assert {call.status for call in calls} <= {200, 409}
    running = [call for call in calls if call.status == 409]
    assert {(call.headers["retry-after"], call.headers["x-should-retry"]) for call in running} == {("1", "true")}
    assert served_calls(site, calls) == 1
    assert charged_once(site, payer, executed[0])


def charged_once(site: Site, payer: Payer, call: RawCall) -> bool:
    """Whether all that the payer has spent is what this one call cost."""
    assert eventually(lambda: unfinished(site) == []), unfinished(site)
    return payer.balance().spent == int(call.headers["x-charged-tokens"])


def finished(caller: Caller, key: str) -> Answer:
    """The answer once the call is not under way any more: a client waits a second and asks again."""
    answer = eventually(lambda: None if (answer := caller.ask(idempotency_key=key)).status == 409 else answer)
    assert answer is not None
    return answer


@on_leases
def test_a_finished_call_is_replayed_at_every_gateway(site: Site) -> None:
    payer, key = open_payer(tokens=1_000_000), uuid4().hex
    with calling(site.urls()[0], payer) as first, calling(site.urls()[1], payer) as second:
        executed = first.ask(idempotency_key=key)
        replayed = [finished(caller, key) for caller in (first, second)]

    assert executed.status == 200
    assert [(answer.status, answer.body) for answer in replayed] == [(200, executed.body)] * 2
    assert {answer.headers["idempotent-replayed"] for answer in replayed} == {"true"}
    assert eventually(lambda: unfinished(site) == [])
    assert payer.balance().spent == int(executed.headers["x-charged-tokens"])


@on_leases
def test_the_same_key_with_another_body_is_refused(site: Site) -> None:
    key = uuid4().hex
    with calling(site.urls()[0], open_payer(tokens=1_000_000)) as caller:
        assert caller.ask(idempotency_key=key).status == 200
        other = caller.ask(idempotency_key=key, cap=7)

    assert (other.status, other.code) == (422, "idempotency_mismatch")


@on_leases
def test_another_account_may_use_the_same_key(site: Site) -> None:
    key = uuid4().hex
    for _ in range(2):
        with calling(site.urls()[0], open_payer(tokens=1_000_000)) as caller:
            answer = caller.ask(idempotency_key=key)
        assert answer.status == 200
        assert "idempotent-replayed" not in answer.headers


async def killed_under_way(site: Site, payer: Payer, key: str) -> None:
    """A call that the provider has taken when its gateway is killed."""
    orders = {"delay-ms": 20_000}
    call = await send(site.urls()[0], payer, tokens=TOKENS, stream=False, orders=orders, idempotency_key=key)
    await asyncio.to_thread(eventually, lambda: Oracle(site.stub.url).lines(call.request_id))
    site.gateways[0].kill()
    await call.leave()


@on_leases
def test_a_call_whose_gateway_died_may_be_repeated_once_its_hold_has_ended(site: Site) -> None:
    """Until then it counts as under way: it may have been executed."""
    payer, key = open_payer(tokens=1_000_000), uuid4().hex
    asyncio.run(killed_under_way(site, payer, key))

    with calling(site.urls()[1], payer) as caller:
        assert caller.ask(idempotency_key=key).status == 409
        executed = finished(caller, key)
        replayed = finished(caller, key)

    assert executed.status == 200
    assert "idempotent-replayed" not in executed.headers
    assert (replayed.headers["idempotent-replayed"], replayed.body) == ("true", executed.body)
    site.heal()
    assert eventually(lambda: unfinished(site) == []), unfinished(site)
    assert payer.balance().spent == int(executed.headers["x-charged-tokens"])
