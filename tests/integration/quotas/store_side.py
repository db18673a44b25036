"""What a gateway does in the quota store: puts a lease's part into the purse, reserves and settles."""

from typing import Any, TypeVar
from uuid import UUID

from apps.core.ids import uuid7
from apps.limiter.api import (
    Admitted,
    AppliedKind,
    Bucket,
    Call,
    Ended,
    Ending,
    Order,
    PartOfLease,
    Policy,
    grant_call,
    reserve_call,
    settle_call,
    shard_of,
    topup_call,
)
from apps.quotas.api import Part
from apps.quotas.purses import limiter
from tests.integration.quotas.needs import leased

T = TypeVar("T")

POLICY = Policy(Bucket(100_000, 1_000_000))
DAY_MS = 86_400_000
SOON_MS = 4_000_000_000_000


def run(call: Call[T]) -> T:
    """The reply of a function, as a gateway's connection would get it."""
    return limiter().run(call)


def lend(account: UUID, amount: int, **more: Any) -> Part:
    """A part of a lease, in the purse."""
    run_id = limiter().run_id(shard_of(account))
    part = leased(account, amount, run_id=run_id, **more)
    put(part)
    return part


def put(part: Part) -> None:
    """Put a part that was given into the purse."""
    sent = PartOfLease(
        part.id, part.account, part.generation, part.epoch, part.run_id, part.amount, (), part.ttl_ms, part.passes,
        SOON_MS,
    )  # fmt: skip
    assert run(grant_call(sent) if part.opens else topup_call(sent)).kind is AppliedKind.OK


def reserve(part: Part, amount: int, policy: Policy = POLICY) -> UUID:
    """A hold of a call under way."""
    hold = uuid7()
    admitted = run(
        reserve_call(Order(hold, part.account, amount, part.generation, "k1", "u1", None, b"{}", (), policy))
    )
    assert isinstance(admitted, Admitted), admitted
    return hold


def settle(part: Part, hold: UUID, amount: int, actual: int, policy: Policy = POLICY) -> Ended:
    """The end of a call that held ``amount`` and used ``actual``."""
    return run(
        settle_call(Ending(hold, part.account, part.epoch, part.generation, amount, policy, actual, b"{}", DAY_MS))
    )
