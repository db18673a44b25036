"""Organisations' pools: what their members used of them, and operators' orders that raise them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4, uuid5

from django.db import connection, transaction

from apps.accounts.api import find_user_by_id
from apps.audit.api import Subject, entries, record
from apps.core.errors import Conflict
from apps.core.http.caller import Caller
from apps.quotas import orders
from apps.quotas.models import Order
from apps.quotas.payers import ORG, Payer
from apps.quotas.quota_selectors import quotas_of
from apps.quotas.receipts import earliest_id

ORDERS = UUID("8f1f6f64-0d0c-4c9f-9a53-64f7f0f1a3d1")
"""Name space of the orders of an Idempotency-Key."""

RAISED = "pool.raised"


class PoolNotLowered(Conflict):
    """A pool is raised by an order, never lowered: what is left is taken back in the console."""

    code = "pool_not_lowered"


class KeyReused(Conflict):
    """The Idempotency-Key came with another order before."""

    code = "idempotency_mismatch"


class PoolNotRaised(Conflict):
    """The ledger refused the grant; the sentence says why."""

    code = "pool_not_raised"


class Outcome(StrEnum):
    """What became of a raise: tokens were granted, the pool had them, or a second person has to approve."""

    GRANTED = "granted"
    UNCHANGED = "unchanged"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Raise:
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
def raise_pool(caller: Caller, wanted: Raise, key: str | None) -> Outcome:
    """Order what an organisation's pool lacks of ``wanted.tokens``, counting what is ordered and not approved yet.

    With a ``key`` it is ordered once, however often it is sent.

    Raises:
        KeyReused: the key came with another wish.
        PoolNotLowered: the pool had more than that already.
        PoolNotRaised: the ledger refused.
        StoreUnavailable: PostgreSQL did not answer; send it again with the same key.
    """
    order_id = uuid5(ORDERS, f"{caller.user_id}:{key}") if key else uuid4()
    payer = Payer(ORG, wanted.org_id)
    account = payer.account(wanted.provider)
    _take_turns(str(order_id), str(account))
    if _came_before(order_id, wanted):
        return _outcome(Order.objects.filter(id=order_id).first())
    lacking = wanted.tokens - sum(quota.purchased.total for quota in quotas_of(payer, [wanted.provider]))
    if lacking < 0:
        raise PoolNotLowered("The pool has had more than that already.")
    waiting = Order.objects.filter(account_id=account, kind=orders.GRANT, status=Order.Status.PENDING)
    missing = lacking - sum(waiting.values_list("tokens", flat=True))
    made = _order(caller, wanted, order_id, missing) if missing > 0 else waiting.first()
    if key or missing > 0:
        after = {"provider": wanted.provider, "tokens": wanted.tokens, "ordered": max(missing, 0)}
        record(RAISED, Subject("order", str(order_id), wanted.org_id), None, after, reason=wanted.reason)
    return _outcome(made)


def _take_turns(*names: str) -> None:
    """Wait until nobody else carries out this wish, or another one for the same pool."""
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])


def _came_before(order_id: UUID, wanted: Raise) -> bool:
    """Whether the audit trail has this wish.

    Raises:
        KeyReused: it has another one under this id.
    """
    done = entries(None, action=RAISED, subject=str(order_id)).first()
    if done is None:
        return False
    after = done.after or {}
    if (done.org_id, after.get("provider"), after.get("tokens")) != (wanted.org_id, wanted.provider, wanted.tokens):
        raise KeyReused("This Idempotency-Key came with another order.")
    return True


def _order(caller: Caller, wanted: Raise, order_id: UUID, tokens: int) -> Order:
    wish = orders.Wish(orders.GRANT, ORG, wanted.org_id, wanted.provider, tokens, wanted.reason, id=order_id)
    name = find_user_by_id(caller.user_id).get_username() if caller.user_id else "an application"
    return orders.order(wish, by=caller.user_id, name=name)


def _outcome(order: Order | None) -> Outcome:
    if order is None:
        return Outcome.UNCHANGED
    if order.status == Order.Status.PENDING:
        return Outcome.PENDING
    if order.status != Order.Status.DONE:
        raise PoolNotRaised(order.outcome or f"The order is {order.status.lower()}.")
    return Outcome.GRANTED
