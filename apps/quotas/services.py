"""The ledger's writes: the row-lock backend.

Each operation is one short transaction that locks one account's row, then at most one hold of it, then at most one
key's budget: always in this order, so no two of them wait for each other in a circle. Times are the database's
(``clock_timestamp()``, because a transaction may have waited for its lock since its ``now()``). Whatever is repeated
has no second effect.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.backends.utils import CursorWrapper

from apps.audit.api import Subject, record
from apps.core.errors import AccountSuspended, HoldNotFound, InsufficientQuota
from apps.core.events import TOKEN_USAGE, Event
from apps.core.ids import uuid7
from apps.core.units import MAX_TOKENS
from apps.outbox import api as outbox
from apps.quotas import budgets, domain, funds, lots, usage
from apps.quotas.booking import Ended
from apps.quotas.domain import Account, Code, Entry, Hold, Settled, Settlement, Status
from apps.quotas.leases import room_of
from apps.quotas.selectors import balance
from apps.quotas.transactions import ledger_transaction

Renewal = tuple[UUID, UUID, int]
"""Account, hold, and the tokens that the call has used so far."""


@dataclass(frozen=True, slots=True)
class _Locked:
    """A hold whose row, and whose account's row, this transaction has locked."""

    id: UUID
    account: UUID
    available: int
    amount: int
    status: Status
    progress: int
    charged: int
    absorbed: int
    age_ms: int
    budgets: tuple[str, ...]
    facts: domain.CallFacts


def reserve(hold: Hold, *, ttl_ms: int) -> None:
    """Set ``hold.amount`` tokens aside for a call; unless renewed, the hold expires after ``ttl_ms``.

    A hold that exists is left as it is.

    Raises:
        AccountSuspended: the account may not spend.
        InsufficientQuota: less is available than the hold needs; all zeros where there is no account.
        InsufficientBudget: the account has enough, the key's budget has not.
        StoreUnavailable: PostgreSQL did not answer; the hold may or may not exist, and expires if it does.
    """
    with ledger_transaction() as cursor:
        now = funds.lock_for(cursor, hold)
        if (now.suspended or room_of(now, hold.quota_cap) < hold.amount) and not _exists(cursor, hold):
            if now.suspended:
                raise AccountSuspended(f"account {hold.account} is suspended")
            cap = hold.quota_cap if now.available >= hold.amount else None
            raise InsufficientQuota(hold.amount, room_of(now, hold.quota_cap), now.held, now.granted, cap=cap)
        cursor.execute(_TAKE_HOLD, _hold_parameters(hold, ttl_ms))
        if cursor.rowcount:
            budgets.hold(cursor, hold.budgets, hold.amount)


_TAKE_HOLD = """
WITH taken AS (
    INSERT INTO quotas_hold (account_id, id, amount, request_id, budgets, facts, expires_at)
    VALUES (%(account)s, %(hold)s, %(amount)s, %(request_id)s, %(budgets)s, %(facts)s,
            clock_timestamp() + %(ttl_ms)s * interval '1 millisecond')
    ON CONFLICT DO NOTHING
    RETURNING account_id, id, amount, request_id
)
INSERT INTO quotas_transfer (account_id, id, code, debit, credit, amount, ref, request_id)
SELECT account_id, %(transfer)s, 'HOLD', 'available', 'held', amount, id, request_id FROM taken
"""


def _hold_parameters(hold: Hold, ttl_ms: int) -> dict[str, Any]:
    return {
        "account": hold.account,
        "hold": hold.id,
        "amount": hold.amount,
        "request_id": hold.facts.request_id,
        "budgets": [budget.id for budget in hold.budgets],
        "facts": json.dumps(domain.facts_to_json(hold.facts)),
        "ttl_ms": ttl_ms,
        "transfer": uuid7(),
    }


def _exists(cursor: CursorWrapper, hold: Hold) -> bool:
    cursor.execute("SELECT FROM quotas_hold WHERE account_id = %s AND id = %s", [hold.account, hold.id])
    return cursor.fetchone() is not None


def renew(progress: Sequence[Renewal], *, ttl_ms: int) -> set[UUID]:
    """Keep holds for another ``ttl_ms`` and note how far their calls are. One statement for all of them.

    Returns the holds that are no longer held: their calls must stop.

    Raises:
        StoreUnavailable: PostgreSQL did not answer.
    """
    accounts = [account for account, _, _ in progress]
    holds = [hold for _, hold, _ in progress]
    tokens = [tokens for _, _, tokens in progress]
    with ledger_transaction() as cursor:
        cursor.execute(_RENEW, {"accounts": accounts, "holds": holds, "tokens": tokens, "ttl_ms": ttl_ms})
        return set(holds) - {row[0] for row in cursor.fetchall()}


# Rows are locked in the order of their ids: two renewals that overlap do not wait for each other in a circle.
_RENEW = """
WITH renewed AS (
    SELECT hold.account_id, hold.id, given.tokens
    FROM unnest(%(accounts)s::uuid[], %(holds)s::uuid[], %(tokens)s::bigint[]) AS given (account, hold, tokens)
    JOIN quotas_hold AS hold ON hold.account_id = given.account AND hold.id = given.hold AND hold.status = 'HELD'
    ORDER BY hold.id
    FOR UPDATE OF hold
)
UPDATE quotas_hold AS hold
SET progress = greatest(hold.progress, renewed.tokens),
    expires_at = clock_timestamp() + %(ttl_ms)s * interval '1 millisecond'
FROM renewed
WHERE hold.account_id = renewed.account_id AND hold.id = renewed.id AND hold.status = 'HELD'
RETURNING hold.id
"""


def settle(settlement: Settlement) -> Settled:
    """End a hold with what its call cost, and write the call's ``token-usage`` event.

    The cost is taken from the hold, then from what is available, then from the house; what the hold has too much goes
    back. No cost releases the hold. A hold that had expired is corrected to the call's cost. Repeated, it changes
    nothing and gives the same answer with ``first=False``.

    Raises:
        HoldNotFound: this account has no such hold.
        StoreUnavailable: PostgreSQL did not answer; settle again.
    """
    if not 0 <= settlement.tokens <= MAX_TOKENS:
        raise ValueError(f"a call cannot cost {settlement.tokens} tokens")
    with ledger_transaction() as cursor:
        hold = _lock(cursor, settlement.account, settlement.hold)
        if hold is None:
            raise HoldNotFound(f"hold {settlement.hold} was never taken on account {settlement.account}")
        if hold.status is Status.HELD:
            return _end(cursor, hold, settlement, Status.SETTLED if settlement.tokens else Status.RELEASED)
        if hold.status is Status.EXPIRED:
            return _correct(cursor, hold, settlement)
        return _settled(hold, hold.charged, hold.absorbed, first=False)


def expire_holds(*, limit: int) -> int:
    """End at most ``limit`` holds that nobody renewed in time, longest overdue first; returns how many were ended.

    Each is charged what its call had reported and ends in a transaction of its own, so any number of these may run at
    once and any of them may be killed anywhere.

    Raises:
        StoreUnavailable: PostgreSQL did not answer; what was ended stays ended.
    """
    with ledger_transaction() as cursor:
        cursor.execute(_OVERDUE, [limit])
        overdue = cursor.fetchall()
    return sum(_expire(account, hold) for account, hold in overdue)


# statement_timestamp(): as fresh as is needed, and constant in the statement, so that it can bound the index scan.
_OVERDUE = """
SELECT account_id, id FROM quotas_hold
WHERE status = 'HELD' AND expires_at < statement_timestamp()
ORDER BY expires_at LIMIT %s
"""


def _expire(account: UUID, hold_id: UUID) -> bool:
    """End one hold, if it is still overdue under its lock. One that somebody has locked is being renewed or ended."""
    with ledger_transaction() as cursor:
        hold = _lock(cursor, account, hold_id, and_only_if=_STILL_OVERDUE)
        if hold is None:
            return False
        expiry = domain.expiry(hold=hold.id, account=account, progress=hold.progress, latency_ms=hold.age_ms)
        _end(cursor, hold, expiry, Status.EXPIRED)
    return True


_STILL_OVERDUE = "AND status = 'HELD' AND expires_at < statement_timestamp() FOR UPDATE SKIP LOCKED"

_LOCK_ACCOUNT = "SELECT available FROM quotas_account WHERE id = %s FOR UPDATE"

_LOCK_HOLD = """
SELECT amount, status, progress, charged, absorbed,
       (extract(epoch FROM clock_timestamp() - taken_at) * 1000)::bigint, budgets, facts::text
FROM quotas_hold WHERE account_id = %s AND id = %s
"""


def _lock(cursor: CursorWrapper, account: UUID, hold: UUID, *, and_only_if: str = "FOR UPDATE") -> _Locked | None:
    cursor.execute(_LOCK_ACCOUNT, [account])
    balances = cursor.fetchone()
    cursor.execute(_LOCK_HOLD + and_only_if, [account, hold])
    row = cursor.fetchone()
    if balances is None or row is None:
        return None
    amount, status, progress, charged, absorbed, age_ms, counted, facts = row
    return _Locked(
        id=hold,
        account=account,
        available=balances[0],
        amount=amount,
        status=Status(status),
        progress=progress,
        charged=charged,
        absorbed=absorbed,
        age_ms=age_ms,
        budgets=tuple(counted),
        facts=domain.facts_from_json(json.loads(facts)),
    )


def _end(cursor: CursorWrapper, hold: _Locked, settlement: Settlement, status: Status) -> Settled:
    parts = domain.split(tokens=settlement.tokens, held=hold.amount, available=hold.available)
    charged = parts.from_hold + parts.from_available
    _post(cursor, hold, domain.entries_of_end(parts))
    at = _mark(cursor, hold, settlement, Ended(status, charged, parts.absorbed))
    budgets.move(cursor, hold.budgets, released=hold.amount, charged=charged)
    moved = usage.Charge(charged, hold.amount, parts.absorbed)
    outbox.append(_event(hold, settlement, moved, at, corrects=False))
    return _settled(hold, charged, parts.absorbed, first=True)


def _correct(cursor: CursorWrapper, hold: _Locked, settlement: Settlement) -> Settled:
    correction = domain.correct(
        tokens=settlement.tokens, charged=hold.charged, absorbed=hold.absorbed, available=hold.available
    )
    charged, absorbed = hold.charged + correction.charged, hold.absorbed + correction.absorbed
    _post(cursor, hold, domain.entries_of_correction(correction))
    status = Status.SETTLED if settlement.tokens else Status.RELEASED
    at = _mark(cursor, hold, settlement, Ended(status, charged, absorbed))
    budgets.move(cursor, hold.budgets, released=0, charged=correction.charged)
    moved = usage.Charge(correction.charged, 0, correction.absorbed)
    outbox.append(_event(hold, settlement, moved, at, corrects=True))
    return _settled(hold, charged, absorbed, first=True)


def _settled(hold: _Locked, charged: int, absorbed: int, *, first: bool) -> Settled:
    return Settled(charged, max(hold.amount - charged, 0), absorbed, first)


def _post(cursor: CursorWrapper, hold: _Locked, entries: list[Entry]) -> None:
    """Append a hold's entries in one statement; the balances follow in the database."""
    cursor.execute(
        _POST,
        {
            "account": hold.account,
            "ref": hold.id,
            "request_id": hold.facts.request_id,
            "ids": [uuid7() for _ in entries],
            "codes": [entry.code.value for entry in entries],
            "debits": [entry.debit for entry in entries],
            "credits": [entry.credit for entry in entries],
            "amounts": [entry.amount for entry in entries],
        },
    )


_POST = """
INSERT INTO quotas_transfer (account_id, id, code, debit, credit, amount, ref, request_id)
SELECT %(account)s, entry.id, entry.code, entry.debit, entry.credit, entry.amount, %(ref)s, %(request_id)s
FROM unnest(%(ids)s::uuid[], %(codes)s::text[], %(debits)s::text[], %(credits)s::text[], %(amounts)s::bigint[])
     AS entry (id, code, debit, credit, amount)
"""


def _mark(cursor: CursorWrapper, hold: _Locked, settlement: Settlement, ended: Ended) -> datetime:
    ending = json.dumps(usage.ending_of(settlement))
    cursor.execute(_END_HOLD, [ended.status.value, ended.charged, ended.absorbed, ending, hold.account, hold.id])
    ended_at: datetime = cursor.fetchone()[0]
    return ended_at


_END_HOLD = """
UPDATE quotas_hold SET status = %s, charged = %s, absorbed = %s, ending = %s, ended_at = clock_timestamp()
WHERE account_id = %s AND id = %s
RETURNING ended_at
"""


def _event(hold: _Locked, settlement: Settlement, moved: usage.Charge, at: datetime, *, corrects: bool) -> Event:
    return Event(
        id=usage.event_id(hold.id, corrects=corrects),
        type=TOKEN_USAGE,
        version=usage.VERSION,
        aggregate_type="account",
        aggregate_id=hold.account,
        occurred_at=at,
        traceparent=hold.facts.traceparent,
        data=dict(usage.data_of(hold.facts, settlement, moved, corrects=corrects, occurred_at=at)),
    )


def grant(  # noqa: PLR0913 (all by name)
    *,
    payer_kind: str,
    payer_id: UUID,
    provider: str,
    tokens: int,
    grant_id: UUID,
    reason: str,
    actor: str,
    expires_at: datetime | None = None,
    kind: str = "grant",
) -> Account:
    """Give a payer ``tokens`` to spend with a provider, opening the account where there is none.

    They are a lot of ``kind`` (grant, allowance, purchase, correction): what is left of it at ``expires_at`` expires.
    A grant whose ``grant_id`` this account has had changes nothing. Returns the account as it is then.

    Raises:
        ValueError: fewer than one token, or more than an account can hold.
        StoreUnavailable: PostgreSQL did not answer; grant again with the same ``grant_id``.
    """
    if not 1 <= tokens <= MAX_TOKENS:
        raise ValueError(f"a grant lies within 1 … {MAX_TOKENS} tokens, not {tokens}")
    account = domain.account_id(payer_kind, payer_id, provider)
    with ledger_transaction() as cursor:
        cursor.execute(funds.OPEN_ACCOUNT, [account, payer_kind, payer_id, provider])
        cursor.execute(_LOCK_ACCOUNT, [account])
        lots.add_lot(cursor, account, grant_id, kind=kind, expires_at=expires_at)
        cursor.execute(_GRANT, [account, uuid7(), Code.GRANT.value, tokens, grant_id, reason, actor])
        is_first = bool(cursor.rowcount)
        now = balance(account)
        if is_first:
            before = {"granted": now.granted - tokens}
            after = {"granted": now.granted, "tokens": tokens, "grant_id": str(grant_id), "provider": provider}
            if expires_at is not None:
                after["expires_at"] = expires_at.isoformat()
            record("account.granted", _subject(account, payer_kind, payer_id), before, after, reason=reason)
        return now


_GRANT = """
INSERT INTO quotas_transfer (account_id, id, code, debit, credit, amount, ref, reason, actor)
VALUES (%s, %s, %s, 'issuer', 'available', %s, %s, %s, %s)
ON CONFLICT (account_id, ref, code) DO NOTHING
"""


def suspend(account: UUID) -> None:
    """Refuse new holds on an account. Calls under way end as usual. Without effect where there is no account."""
    _set_suspended(account, suspended=True)


def reopen(account: UUID) -> None:
    """Let an account spend again."""
    _set_suspended(account, suspended=False)


def _set_suspended(account: UUID, *, suspended: bool) -> None:
    with ledger_transaction() as cursor:
        cursor.execute(_SET_SUSPENDED, {"account": account, "suspended": suspended})
        for payer_kind, payer_id in cursor.fetchall():
            action = "account.suspended" if suspended else "account.reopened"
            before, after = {"suspended": not suspended}, {"suspended": suspended}
            record(action, _subject(account, payer_kind, payer_id), before, after)


_SET_SUSPENDED = """
UPDATE quotas_account SET suspended = %(suspended)s WHERE id = %(account)s AND suspended <> %(suspended)s
RETURNING payer_kind, payer_id
"""


def _subject(account: UUID, payer_kind: str, payer_id: UUID) -> Subject:
    return Subject("account", str(account), payer_id if payer_kind == "org" else None)
