"""Giving an account's tokens to Valkey: the one place where a lease is opened or grown.

One short transaction locks the account, then its OPEN lease, then budgets. It commits before anything is sent to
Valkey: a process that dies in between leaves tokens that are leased and nowhere to be spent, which closing brings back.
"""

import json
import math
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.backends.utils import CursorWrapper

from apps.core.ids import uuid7
from apps.quotas import budgets, funds
from apps.quotas.domain import Code
from apps.quotas.leases import (
    GRANT_MS,
    Decision,
    Lease,
    LeaseState,
    LookAgain,
    Need,
    Part,
    decide_lease,
    lease_id,
)
from apps.quotas.transactions import ledger_transaction


def ensure_lease(need: Need) -> Part | LookAgain:
    """Give an account's purse what a call needs, as far as the account has it: a part to be put into the purse at once.

    Any number of these may run for one account; each waits for its row.

    Raises:
        InsufficientQuota: the account, or its tier's cap for the day, has less.
        InsufficientBudget: a budget of the call has less.
        AccountSuspended: the account may not spend.
        StoreUnavailable: PostgreSQL did not answer, or the tokens that are missing are in doubt and come back later. A
            part may have been given then; it comes back when its lease is closed.
    """
    with ledger_transaction() as cursor:
        locked = funds.lock_allowed(cursor, _owner(need))
        lease = _open_lease(cursor, need.account)
        uses = budgets.lock(cursor, [budget.id for budget in need.budgets])
        decision = decide_lease(locked.funds, lease, need, generation=locked.generation, budgets=uses)
        if decision.doubt:
            cursor.execute(_DOUBT, [decision.doubt, need.account])
        part = _give(cursor, need, lease, decision, locked.generation)
    if decision.refusal is not None:
        raise decision.refusal
    return part or LookAgain(locked.generation, lease.epoch if lease else locked.funds.epoch)


def _owner(need: Need) -> funds.Owner:
    return funds.Owner(need.account, need.payer_kind, need.payer_id, need.provider, need.tier, need.allowances)


_DOUBT = """
UPDATE quotas_lease SET state = 'DOUBT', doubt = %s, doubted_at = clock_timestamp()
WHERE account_id = %s AND state = 'OPEN'
"""


def _open_lease(cursor: CursorWrapper, account: UUID) -> Lease | None:
    cursor.execute(_OPEN_LEASE, [account])
    row = cursor.fetchone()
    if row is None:
        return None
    epoch, generation, granted, settled, returned, age_ms, part_age_ms, run_id = row
    return Lease(account, epoch, generation, granted, settled, returned, LeaseState.OPEN, age_ms, part_age_ms, run_id)


_OPEN_LEASE = """
SELECT epoch, generation, granted, settled, returned,
       (extract(epoch FROM clock_timestamp() - opened_at) * 1000)::bigint,
       (extract(epoch FROM clock_timestamp() - (
           SELECT max(made_at) FROM quotas_lease_part AS part
           WHERE part.account_id = lease.account_id AND part.epoch = lease.epoch
       )) * 1000)::bigint,
       run_id
FROM quotas_lease AS lease WHERE account_id = %s AND state = 'OPEN' FOR UPDATE
"""


def _give(cursor: CursorWrapper, need: Need, lease: Lease | None, decision: Decision, generation: int) -> Part | None:
    """Debit what was decided, before anybody learns of it."""
    if decision.refusal is not None or decision.look_again:
        return None
    ttl_ms = settings.QUOTA_LEASE_SECONDS * 1000
    epoch = decision.opens or (lease.epoch if lease else 0)
    if decision.opens:
        cursor.execute(_RAISE_EPOCH, [epoch, need.account])
        cursor.execute(_OPEN, _parameters(need, decision, epoch, ttl_ms) | {"generation": generation})
    else:
        cursor.execute(_GROW, _parameters(need, decision, epoch, ttl_ms))
    part = Part(
        id=uuid7(), account=need.account, generation=generation, epoch=epoch, amount=decision.tokens,
        budgets=decision.budgets, opens=bool(decision.opens), ttl_ms=ttl_ms, passes=passes_in(ttl_ms),
        run_id=lease.run_id if lease and not decision.opens else need.run_id,
    )  # fmt: skip
    _debit(cursor, part)
    return part


def passes_in(ttl_ms: int) -> int:
    """How many passes of the sweeper a life of ``ttl_ms`` is, so that it ends even where the clock does not go on."""
    return math.ceil(ttl_ms / (settings.QUOTA_SWEEP_SECONDS * 1000)) + 1


def _parameters(need: Need, decision: Decision, epoch: int, ttl_ms: int) -> dict[str, Any]:
    """The row lives a little longer than the purse, which gets its life when the part reaches it."""
    return {
        "account": need.account,
        "epoch": epoch,
        "id": lease_id(need.account, epoch),
        "run_id": need.run_id,
        "tokens": decision.tokens,
        "life_ms": ttl_ms + GRANT_MS,
    }


_RAISE_EPOCH = "UPDATE quotas_account SET epoch = %s WHERE id = %s"

_OPEN = """
INSERT INTO quotas_lease (account_id, epoch, id, generation, run_id, granted, expires_at, expires_tick)
SELECT %(account)s, %(epoch)s, %(id)s, %(generation)s, %(run_id)s, %(tokens)s,
       clock_timestamp() + %(life_ms)s * interval '1 millisecond', tick + %(life_ms)s
FROM quotas_control
"""

_GROW = """
UPDATE quotas_lease SET
    granted = granted + %(tokens)s, used_at = clock_timestamp(),
    expires_at = clock_timestamp() + %(life_ms)s * interval '1 millisecond',
    expires_tick = (SELECT tick FROM quotas_control) + %(life_ms)s
WHERE account_id = %(account)s AND epoch = %(epoch)s
"""


def _debit(cursor: CursorWrapper, part: Part) -> None:
    cursor.execute(_PART, [part.account, part.id, part.epoch, part.amount, json.dumps(part.budgets), part.opens])
    if part.amount:
        cursor.execute(_LEASE, [part.account, uuid7(), Code.LEASE.value, part.amount, part.id])
    if part.budgets:
        budgets.lease(cursor, part.budgets)
        cursor.execute(_LEASE_BUDGETS, [part.account, part.epoch, *_columns(part.budgets)])


def _columns(parts: Mapping[str, int]) -> tuple[list[str], list[int]]:
    return list(parts), list(parts.values())


_PART = """
INSERT INTO quotas_lease_part (account_id, id, epoch, tokens, budgets, opens) VALUES (%s, %s, %s, %s, %s, %s)
"""

_LEASE = """
INSERT INTO quotas_transfer (account_id, id, code, debit, credit, amount, ref)
VALUES (%s, %s, %s, 'available', 'leased', %s, %s)
"""

_LEASE_BUDGETS = """
INSERT INTO quotas_budget_lease AS lease (account_id, epoch, budget_id, granted)
SELECT %s, %s, part.id, part.tokens FROM unnest(%s::text[], %s::bigint[]) AS part (id, tokens)
ON CONFLICT (account_id, epoch, budget_id) DO UPDATE SET granted = lease.granted + excluded.granted
"""
