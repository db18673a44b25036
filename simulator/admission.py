"""How a gateway comes to a hold, and to a larger one: ask the purse; where there is none, or too little in it, ensure a
lease once and look again.
"""

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from apps.core.errors import StoreUnavailable
from apps.core.units import MAX_TOKENS
from apps.limiter import api as limiter
from apps.limiter.api import Admitted, Ending, Extended, ExtendedKind, Order, PartOfLease, Refusal, RefusalKind
from apps.quotas.leases import LookAgain, Need, Part
from simulator.accounts import Account
from simulator.figures import FIGURES
from simulator.ledger import Refused
from simulator.valkeys import LATEST_MS
from simulator.world import Steps

if TYPE_CHECKING:
    from simulator.gateways import Gateway, Live

TRIES = 4
LACKING = (RefusalKind.NOLEASE, RefusalKind.LOW, RefusalKind.BUDGET)
NOBODY = UUID(int=0)


def admit(gateway: "Gateway", account: Account, order: Order) -> Steps[tuple[Order, Admitted] | None]:
    """Reserve; None: the call is refused. The order is as it was admitted, with its generation."""
    counts = gateway.simulation.counts
    for _ in range(TRIES):
        order = replace(order, generation=gateway.generation)
        run_id = gateway.run_id()
        try:
            reply = yield from gateway.send(limiter.reserve_call(order))
            if isinstance(reply, Admitted):
                return order, reply
            if reply.kind not in LACKING or not (
                yield from ensure(gateway, need_of(account, order, reply, run_id), reply.now_ms)
            ):
                counts[f"refused: {reply.kind}"] += 1
                counts["refused"] += 1
                return None
        except StoreUnavailable:
            counts["unavailable"] += 1
            gateway.simulation.world.spawn(gateway.process, _take_back(gateway, order))
            return None
    counts["refused"] += 1
    return None


def grow(gateway: "Gateway", live: "Live", tokens: int) -> Steps[None]:
    """Hold more for a call under way. Only when that is held, and kept, the provider goes on beyond what was."""
    simulation, order = gateway.simulation, live.order
    account = next(one for one in simulation.accounts if one.id == order.account)
    more, call = replace(order, amount=tokens), limiter.extend_call(order.account, order.hold, tokens, order.policy)
    run_id = gateway.run_id()
    try:
        reply = yield from gateway.send(call)
        if (
            isinstance(reply, Refusal)
            and reply.kind in LACKING
            and (yield from ensure(gateway, need_of(account, more, reply, run_id), reply.now_ms))
        ):
            reply = yield from gateway.send(call)
    except StoreUnavailable:
        simulation.counts["growth unavailable"] += 1
        return
    if isinstance(reply, Extended) and reply.kind is ExtendedKind.OK and not live.done:
        gateway.keep_growth(live, tokens)
        simulation.provider.grow(live.call, tokens)
    simulation.counts["grown" if isinstance(reply, Extended) else f"not grown: {reply.kind}"] += 1


def need_of(account: Account, order: Order, seen: Refusal, run_id: str) -> Need:
    """What a refusal tells the ledger."""
    lacks_budget = seen.kind is RefusalKind.BUDGET
    return Need(
        account.id, "user", NOBODY, "openai", order.amount, account.budgets, run_id, order.generation, seen.epoch,
        seen.purse_alive, MAX_TOKENS if lacks_budget else seen.available,
        budgets_in_purse={seen.budget: seen.available} if lacks_budget else {},
        granted_in_purse=seen.limit if seen.kind is RefusalKind.LOW else None,
    )  # fmt: skip


def top_up(gateway: "Gateway", account: Account, order: Order, seen: Admitted, run_id: str) -> Steps[None]:
    """The purse is low: more, before somebody is refused."""
    low = Refusal(RefusalKind.LOW, seen.poured_ms, seen.epoch, purse_alive=True, available=seen.available)
    need = replace(need_of(account, order, low, run_id), granted_in_purse=None)
    try:
        yield from ensure(gateway, need, seen.poured_ms)
    except StoreUnavailable:
        gateway.simulation.counts["top-ups given up"] += 1
    gateway.topping_up.discard(account.id)


def ensure(gateway: "Gateway", need: Need, now_ms: int) -> Steps[bool]:
    """Have the ledger give a part away, and bring it to the purse. True: reserve again.

    Raises:
        StoreUnavailable: the ledger or the purse did not answer; what was given away stays so.
    """
    simulation = gateway.simulation
    given = yield from simulation.postgres.commit(lambda: simulation.ledger.ensure(need))
    if isinstance(given, Refused):
        return False
    if isinstance(given, LookAgain):
        yield from gateway.learn_generation(given.generation)
        yield simulation.world.rng.randint(50, 600)
        return True
    yield from _mishap(gateway)
    yield from apply(gateway, given, now_ms)
    return True


def _mishap(gateway: "Gateway") -> Steps[None]:
    """What may happen between the commit and the grant: the process dies, or stands still."""
    world, profile = gateway.simulation.world, gateway.simulation.profile
    if world.chance(profile.manager_dies):
        world.fault("lease manager died between commit and grant", gateway.name)
        gateway.kill()
        gateway.start_again(after=world.rng.randint(1_000, 30_000))
        yield 1
    if world.chance(profile.manager_late):
        world.fault("grant late", gateway.name)
        yield world.rng.randint(1_000, LATEST_MS)


def apply(gateway: "Gateway", part: Part, now_ms: int) -> Steps[None]:
    """Bring a part to its purse: a grant once, a top-up also twice."""
    call = limiter.grant_call if part.opens else limiter.topup_call
    of_lease = part_of_lease(part, now_ms)
    gateway.simulation.counts["leases" if part.opens else "top-ups"] += 1
    try:
        applied = yield from gateway.send(call(of_lease))
    except StoreUnavailable:
        if part.opens:
            raise
        applied = yield from gateway.send(call(of_lease))
    gateway.simulation.counts[f"part {applied.kind}"] += 1


def part_of_lease(part: Part, now_ms: int) -> PartOfLease:
    """A part as the purse's functions want it; ``now_ms`` is the purse's clock when it was asked for."""
    return PartOfLease(
        part.id, part.account, part.generation, part.epoch, part.run_id, part.amount, tuple(part.budgets.items()),
        ttl_ms=part.ttl_ms, passes=part.passes,
        not_after_ms=now_ms + FIGURES.grant_deadline_ms,
    )  # fmt: skip


def _take_back(gateway: "Gateway", order: Order) -> Steps[None]:
    """Nobody knows whether the hold stands: end it if it does. If this is lost, too, the sweeper will."""
    ending = Ending(
        order.hold, order.account, 0, order.generation, order.amount, order.policy, 0, b"", FIGURES.tombstone_ms
    )
    try:
        yield from gateway.send(limiter.settle_call(ending))
    except StoreUnavailable:
        gateway.simulation.counts["left to the sweeper"] += 1
