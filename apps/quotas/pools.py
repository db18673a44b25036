"""Organisations' pools: what their members used of them, and operators' orders that raise them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4, uuid5

from django.db import connection, transaction

from apps.audit.api import Subject, entries, record
from apps.core.errors import Conflict
from apps.core.http.caller import Caller
from apps.quotas.payers import ORG, Payer
from apps.quotas.quota_selectors import quotas_of
from apps.quotas.receipts import earliest_id
from apps.quotas.services import grant

ORDERS = UUID("8f1f6f64-0d0c-4c9f-9a53-64f7f0f1a3d1")
"""Name space of the orders of an Idempotency-Key."""

RAISED = "pool.raised"


class PoolNotLowered(Conflict):
    """A pool is raised by an order, never lowered: what is left is taken back in the console."""

    code = "pool_not_lowered"


class KeyReused(Conflict):
    """The Idempotency-Key came with another order before."""

    code = "idempotency_mismatch"


@dataclass(frozen=True, slots=True)
class Order:
    """That an organisation's pool with a provider shall have had ``tokens`` in all, allowances not counted."""

    org_id: UUID
    provider: str
    tokens: int
    reason: str


@dataclass(frozen=True, slots=True)
class Use:
    """What the calls of one member came to within a range, in tokens."""

    user_id: UUID
    calls: int
    charged: int
    held: int


def use_of(accounts: list[UUID], since: datetime, only: UUID | None) -> dict[UUID, list[Use]]:
    """What members used of accounts since a moment, most first; ``only`` one member, where it is given. One query.

    It reads the calls of that time by their key (account, id).
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _USE, {"accounts": accounts, "since": since, "first": earliest_id(since), "only": only and str(only)}
        )
        found: dict[UUID, list[Use]] = {account: [] for account in accounts}
        for account, user_id, *amounts in cursor.fetchall():
            found[account].append(Use(UUID(user_id), *map(int, amounts)))
    return found


_USE = """
SELECT account_id, facts ->> 'user_id', count(*), sum(charged), coalesce(sum(amount) FILTER (WHERE status = 'HELD'), 0)
FROM quotas_hold
WHERE account_id = ANY(%(accounts)s::uuid[]) AND id >= %(first)s::uuid AND taken_at >= %(since)s
  AND (%(only)s::text IS NULL OR facts ->> 'user_id' = %(only)s)
GROUP BY 1, 2 ORDER BY 1, 4 DESC, 2
"""


@transaction.atomic
def raise_pool(caller: Caller, order: Order, key: str | None) -> bool:
    """Grant what an organisation's pool lacks of ``order.tokens``; False where it lacks nothing.

    With a ``key`` an order is carried out once, however often it is sent.

    Raises:
        KeyReused: the key came with another order.
        PoolNotLowered: the pool had more than that already.
        StoreUnavailable: PostgreSQL did not answer; order again with the same key.
    """
    order_id = uuid5(ORDERS, f"{caller.user_id}:{key}") if key else uuid4()
    payer = Payer(ORG, order.org_id)
    _take_turns(str(order_id), str(payer.account(order.provider)))
    if _was_carried_out(order_id, order):
        return False
    present = sum(quota.purchased.total for quota in quotas_of(payer, [order.provider]))
    if present > order.tokens:
        raise PoolNotLowered(f"The pool has had {present:,} tokens already.")
    lacking = order.tokens - present
    if lacking:
        _grant(caller, order, order_id, lacking)
    if lacking or key:
        after = {"provider": order.provider, "tokens": order.tokens, "granted": lacking}
        record(RAISED, Subject("order", str(order_id), order.org_id), None, after, reason=order.reason)
    return lacking > 0


def _take_turns(*names: str) -> None:
    """Wait until nobody else carries out this order, or another one on the same pool."""
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])


def _was_carried_out(order_id: UUID, order: Order) -> bool:
    """Whether the audit trail has this order.

    Raises:
        KeyReused: it has another one under this id.
    """
    done = entries(None, action=RAISED, subject=str(order_id)).first()
    if done is None:
        return False
    after = done.after or {}
    if (done.org_id, after.get("provider"), after.get("tokens")) != (order.org_id, order.provider, order.tokens):
        raise KeyReused("This Idempotency-Key came with another order.")
    return True


def _grant(caller: Caller, order: Order, order_id: UUID, tokens: int) -> None:
    grant(
        payer_kind=ORG,
        payer_id=order.org_id,
        provider=order.provider,
        tokens=tokens,
        grant_id=order_id,
        reason=order.reason,
        actor=str(caller.user_id),
    )
