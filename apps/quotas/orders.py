"""What operators give to accounts and take from them: each order with a reason, large ones with a second person.

An order is written first, and executed in one transaction with its transfers; its id is theirs, so nothing is moved
twice. What is to be taken and is out with calls is asked back, and taken as it returns: :func:`pursue`.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID, uuid5

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Sum
from django.db.models.functions import Abs, Now

from apps.audit.api import State, Subject, record, state_of
from apps.core.acting import actor
from apps.core.errors import Conflict, Refused, StoreUnavailable
from apps.core.ids import uuid7
from apps.core.units import MAX_TOKENS
from apps.quotas import domain, services
from apps.quotas.domain import Code
from apps.quotas.models import Account, Order, Transfer
from apps.quotas.recalls import recall
from apps.quotas.selectors import balance
from apps.quotas.transactions import ledger_transaction

_log = structlog.get_logger(__name__)

GRANT, REVOKE, CORRECT = Order.Kind.GRANT, Order.Kind.REVOKE, Order.Kind.CORRECT

WORDS: dict[str, str] = {GRANT: "a grant", REVOKE: "a revocation", CORRECT: "a correction"}

PURSUIT = timedelta(days=1)
"""How long tokens are taken as they come back from calls; what has not come back by then was spent."""


class OwnOrder(Refused):
    """Nobody decides on what they ordered themselves."""

    code = "own_order"


class OrderEnded(Conflict):
    """Somebody has decided on it already, or its time is over."""

    code = "order_ended"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be done. ``tokens`` are positive, but for a correction that takes; ``expires_at`` is of a grant's."""

    kind: str
    payer_kind: str
    payer_id: UUID
    provider: str
    tokens: int
    reason: str
    expires_at: datetime | None = None
    id: UUID = field(default_factory=uuid7)

    def check(self) -> None:
        """Insist that it makes sense by itself.

        Raises:
            ValueError: it does not; the sentence says why.
        """
        size = -self.tokens if self.kind == CORRECT and self.tokens < 0 else self.tokens
        if not 1 <= size <= MAX_TOKENS:
            raise ValueError(f"{WORDS[self.kind]} lies within 1 … {MAX_TOKENS} tokens, not {self.tokens}")
        if not self.reason.strip():
            raise ValueError("an order needs a reason")
        if self.expires_at is not None and self.kind != GRANT:
            raise ValueError("only what is granted can expire")


def order(wish: Wish, *, by: UUID | None, name: str) -> Order:
    """Order something: it is done at once, or waits for a second person, by what ``by`` has ordered within a day.

    ``by`` is the operator's id (None: a command), ``name`` what transfers name as the actor. An order whose id is known
    is left as it is, and returned.

    Raises:
        ValueError: it makes no sense.
        StoreUnavailable: PostgreSQL did not answer; order again with the same id.
    """
    wish.check()
    with ledger_transaction() as cursor:
        # Until the transaction ends, nobody else counts what this requester has ordered today.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"quotas.orders:{name}"])
        known = Order.objects.filter(id=wish.id).first()
        if known is not None:
            return known
        account = domain.account_id(wish.payer_kind, wish.payer_id, wish.provider)
        made = Order.objects.create(
            id=wish.id, kind=wish.kind, payer_kind=wish.payer_kind, payer_id=wish.payer_id, provider=wish.provider,
            account_id=account, tokens=wish.tokens, expires_at=wish.expires_at, reason=wish.reason.strip(),
            requested_by_id=by, requester=name,
        )  # fmt: skip
        record("order.requested", _subject(made), None, _told(made), reason=made.reason)
        if not needs_approval(made):
            _execute(made)
        return made


def needs_approval(wanted: Order) -> bool:
    """Whether the order, with what its requester had done alone within a day, is more than one person may move."""
    alone = Order.objects.filter(
        requester=wanted.requester, requested_at__gt=Now() - timedelta(days=1), status__in=["APPROVED", "DONE"],
        decided_by=None,
    )  # fmt: skip
    moved = alone.exclude(id=wanted.id).aggregate(tokens=Sum(Abs("tokens")))["tokens"] or 0
    return bool(int(moved) + abs(wanted.tokens) > settings.QUOTA_APPROVAL_TOKENS)


def approve(order_id: UUID, by: UUID) -> Order:
    """Have done what somebody else ordered; the status says what became of it.

    Raises:
        OwnOrder: ``by`` ordered it.
        OrderEnded: it does not wait for anybody.
        StoreUnavailable: PostgreSQL did not answer; approve again.
    """
    with ledger_transaction():
        found = _decided(order_id, by)
        if found.status == Order.Status.PENDING:
            record("order.approved", _subject(found), None, {"tokens": found.tokens})
            _execute(found)
        return found


def reject(order_id: UUID, by: UUID) -> Order:
    """Have an order of somebody else's not done. Reasons are the actor's.

    Raises:
        OwnOrder: ``by`` ordered it.
        OrderEnded: it does not wait for anybody.
    """
    with ledger_transaction():
        found = _decided(order_id, by)
        if found.status == Order.Status.PENDING:
            _end(found, Order.Status.REJECTED, actor().reason)
            record("order.rejected", _subject(found), None, {"tokens": found.tokens})
        return found


def expire() -> int:
    """End the orders that nobody decided on in time; returns how many."""
    overdue = Order.objects.filter(status=Order.Status.PENDING, requested_at__lt=Now() - _patience())
    with transaction.atomic():
        ended = list(overdue.select_for_update(skip_locked=True))
        for one in ended:
            _expire(one)
    return len(ended)


def pursue() -> int:
    """Take what has come back for orders that are not done yet; returns for how many it looked. Each by itself."""
    waiting = list(Order.objects.filter(status=Order.Status.APPROVED).order_by("requested_at").values_list("id"))
    for (order_id,) in waiting:
        with transaction.atomic():
            found = Order.objects.select_for_update(skip_locked=True).filter(id=order_id, status="APPROVED").first()
            if found is not None:
                _execute(found)
    return len(waiting)


def revoke(account: UUID, tokens: int, *, ref: UUID, reason: str, by: str) -> int:
    """Take up to ``tokens`` of what an account has available; returns how many it took, never more than there are.

    One whose ``ref`` this account has had changes nothing.

    Raises:
        Account.DoesNotExist: nobody has granted it anything yet.
    """
    with ledger_transaction() as cursor:
        locked = Account.objects.select_for_update().get(id=account)
        taken = Transfer.objects.filter(account_id=account, ref=ref, code=Code.REVOKE).values_list("amount").first()
        amount = taken[0] if taken else min(tokens, locked.available)
        if amount and not taken:
            cursor.execute(_REVOKE, [account, uuid7(), Code.REVOKE.value, amount, ref, reason, by])
            before = {"available": locked.available, "refunded": locked.refunded}
            after = {"available": locked.available - amount, "refunded": locked.refunded + amount}
            told = {**after, "tokens": amount, "provider": locked.provider}
            org_id = locked.payer_id if locked.payer_kind == "org" else None
            record("account.revoked", Subject("account", str(account), org_id), before, told, reason=reason)
        return int(amount)


_REVOKE = """
INSERT INTO quotas_transfer (account_id, id, code, debit, credit, amount, ref, reason, actor)
VALUES (%s, %s, %s, 'available', 'refunded', %s, %s, %s, %s)
"""


def _decided(order_id: UUID, by: UUID) -> Order:
    """The order, locked and marked as decided by ``by``; expired instead if its time is over."""
    found = Order.objects.select_for_update().get(id=order_id)
    if found.requested_by_id == by:
        raise OwnOrder("Somebody else decides on what you ordered.")
    if found.status != Order.Status.PENDING:
        raise OrderEnded(f"This order is {found.get_status_display().lower()} already.")
    if Order.objects.filter(id=order_id, requested_at__lt=Now() - _patience()).exists():
        _expire(found)
        return found
    found.decided_by_id = by
    return found


def _execute(wanted: Order) -> None:
    """Move its tokens, as far as they are there, and note it. What the ledger refuses is the order's failure."""
    try:
        with transaction.atomic():
            status, said = _take(wanted) if _takes(wanted) else _give(wanted)
    except (ValueError, IntegrityError, Account.DoesNotExist) as error:
        status, said = Order.Status.FAILED, _sentence(error)
        record("order.failed", _subject(wanted), None, {"outcome": said})
    _end(wanted, status, said)


def _takes(wanted: Order) -> bool:
    return wanted.kind == REVOKE or wanted.tokens < 0


def _give(wanted: Order) -> tuple[Order.Status, str]:
    services.grant(
        payer_kind=wanted.payer_kind, payer_id=wanted.payer_id, provider=wanted.provider, tokens=wanted.tokens,
        grant_id=wanted.id, reason=wanted.reason, actor=wanted.requester, expires_at=wanted.expires_at,
        kind="correction" if wanted.kind == CORRECT else "grant",
    )  # fmt: skip
    wanted.moved = wanted.tokens
    return Order.Status.DONE, ""


def _take(wanted: Order) -> tuple[Order.Status, str]:
    """Take what is available. What is out with calls may come back within :data:`PURSUIT`; the rest has been spent."""
    before = wanted.moved
    ref = uuid5(wanted.id, str(before)) if before else wanted.id
    rest = abs(wanted.tokens) - before
    taken = revoke(wanted.account_id, rest, ref=ref, reason=wanted.reason, by=wanted.requester)
    wanted.moved, rest = before + taken, rest - taken
    account = balance(wanted.account_id)
    if not rest:
        return Order.Status.DONE, ""
    if account.leased + account.held and not _is_older(wanted, PURSUIT):
        transaction.on_commit(partial(_ask_back, wanted.account_id, rest))
        return Order.Status.APPROVED, f"{rest:,} tokens are out with calls and will be taken as they come back"
    if not wanted.moved:
        raise ValueError("there was nothing to take")
    return Order.Status.DONE, f"{rest:,} tokens had been spent before they could be taken"


def _ask_back(account: UUID, tokens: int) -> None:
    """Have the quota store give back what no call has reserved; if it does not answer, the next pursuit asks again."""
    try:
        recall(account, tokens)
    except StoreUnavailable:
        _log.warning("orders.recall_failed", account=str(account), exc_info=True)


def _is_older(wanted: Order, age: timedelta) -> bool:
    return Order.objects.filter(id=wanted.id, decided_at__lt=Now() - age).exists()


def _end(wanted: Order, status: Order.Status, said: str) -> None:
    wanted.status, wanted.outcome = status, said
    if wanted.decided_at is None:
        wanted.decided_at = Now()
    wanted.save(update_fields=["status", "outcome", "moved", "decided_by", "decided_at"])
    wanted.refresh_from_db()


def _expire(wanted: Order) -> None:
    _end(wanted, Order.Status.EXPIRED, "nobody decided on it in time")
    record("order.expired", _subject(wanted), None, {"tokens": wanted.tokens})


def _patience() -> timedelta:
    return timedelta(days=settings.QUOTA_APPROVAL_DAYS)


def _sentence(error: Exception) -> str:
    if isinstance(error, Account.DoesNotExist):
        return "the payer has no such account"
    return "the account cannot hold so much" if isinstance(error, IntegrityError) else str(error)


def _subject(wanted: Order) -> Subject:
    return Subject("order", str(wanted.id))


def _told(wanted: Order) -> State:
    return state_of(wanted, "kind", "payer_kind", "payer_id", "provider", "tokens", "expires_at")
