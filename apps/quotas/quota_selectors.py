"""Reads of what payers may still spend: the ledger in one statement, and the purses of the quota store."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from apps.orgs.api import Tier
from apps.quotas import payers
from apps.quotas.allowances import allowance_id, reset_time, window_start
from apps.quotas.models import Account
from apps.quotas.payers import Payer
from apps.quotas.purses import purses_of
from apps.quotas.remaining import Books, Lent, Lot, Purse, Quota, nothing, quota_of


def quotas_of(payer: Payer, providers: Sequence[str] | None = None) -> list[Quota]:
    """A payer's quotas, by provider; of ``providers`` only, if they are named. What was never given is left out.

    The purses are read first: what the ledger gives after that is seen as being on its way.
    """
    tier = payers.tier(payer)
    wanted = sorted(set(_known(payer, tier) if providers is None else providers))
    accounts = {payer.account(provider): provider for provider in wanted}
    purses = purses_of(accounts)
    books = books_of(accounts)
    now = timezone.now()
    return [
        _quota(books.get(account) or nothing(account, provider), tier, purses.get(account), now)
        for account, provider in accounts.items()
        if account in books or _allowances(tier, provider)
    ]


def _known(payer: Payer, tier: Tier) -> set[str]:
    """Providers with which the payer has an account or an allowance."""
    accounts = Account.objects.filter(payer_id=payer.id, payer_kind=payer.kind)
    return {*accounts.values_list("provider", flat=True), *(provider for provider, _, _ in tier.allowances)}


def _quota(books: Books, tier: Tier, purse: Purse | None, now: datetime) -> Quota:
    """With what the tier allows in the windows that ``now`` lies in, also where no call has fetched it yet."""
    allowed = _allowances(tier, books.provider)
    given = {lot.id for lot in books.lots}
    due = sum(
        tokens
        for window, tokens in allowed
        if allowance_id(books.account, tier.name, window, window_start(window, now)) not in given
    )
    resets_at = min((reset_time(window, now) for window, _ in allowed), default=None)
    return quota_of(books, purse, cap=tier.quota_cap, due=due, resets_at=resets_at, now=now)


def _allowances(tier: Tier, provider: str) -> list[tuple[str, int]]:
    return [(window, tokens) for at, window, tokens in tier.allowances if at == provider]


def books_of(accounts: Iterable[UUID]) -> dict[UUID, Books]:
    """Accounts in the ledger, by id; those that were never opened are left out. One statement, of one moment."""
    with connection.cursor() as cursor:
        cursor.execute(_BOOKS, {"accounts": list(accounts)})
        return {row[0]: _books(row) for row in cursor.fetchall()}


_COLUMNS = tuple(field.name for field in fields(Books))


def _books(row: Sequence[Any]) -> Books:
    read = dict(zip(_COLUMNS, row, strict=True))
    lots, leases = json.loads(read.pop("lots")), json.loads(read.pop("lent"))
    return Books(**read, lots=[_lot(*lot) for lot in lots], lent=[Lent(*lease) for lease in leases])


def _lot(grant: str, tokens: int, remaining: int, recurs: bool, ends_ms: int | None) -> Lot:  # noqa: FBT001
    return Lot(UUID(grant), tokens, remaining, recurs, _moment(ends_ms))


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)


# The last transfer of an account is the first of the index quotas_transfer_statement; lots are read by their key,
# leases by quotas_lease_unclosed.
_BOOKS = """
SELECT id, provider, suspended, granted, available, leased, held, spent, expired, refunded,
       CASE WHEN spent_day = (now() AT TIME ZONE 'UTC')::date THEN spent_on_day ELSE 0 END,
       (SELECT max(at) FROM quotas_transfer WHERE account_id = account.id),
       (SELECT coalesce(jsonb_agg(jsonb_build_array(
            id, tokens, remaining, kind = 'allowance', floor(extract(epoch FROM expires_at) * 1000)::bigint
        )), '[]') FROM quotas_lot WHERE account_id = account.id),
       (SELECT coalesce(jsonb_agg(jsonb_build_array(epoch, granted, settled, returned, state = 'DOUBT')), '[]')
        FROM quotas_lease WHERE account_id = account.id AND state <> 'CLOSED')
FROM quotas_account AS account WHERE id = ANY(%(accounts)s::uuid[])
"""
