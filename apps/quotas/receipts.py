"""A call's receipt: what was held for it, what it cost, and why. From its hold and its transfers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet

from apps.core.errors import NotFound
from apps.core.http.caller import Caller
from apps.core.units import Usage
from apps.quotas import payers
from apps.quotas.domain import facts_from_json
from apps.quotas.models import Account, Hold, Transfer
from apps.quotas.payers import Payer
from apps.quotas.usage import cost_micro

CLOCKS_APART = timedelta(minutes=5)
"""Ids carry a gateway's clock and times the database's: by so much a range of ids is wider than its range of times."""

MOST_OF_A_REQUEST = 20
"""Calls that one request id is followed to: it is a caller's own and may be repeated."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A transfer of a call."""

    id: UUID
    at: datetime
    code: str
    debit: str
    credit: str
    amount: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """One call. ``facts`` are what was known before it left; ``ending`` is how it ended, None while it goes on."""

    hold: Hold
    payer: Payer
    provider: str
    facts: Mapping[str, Any]
    ending: Mapping[str, Any] | None
    transfers: Sequence[Moved] = field(default=())

    @property
    def state(self) -> str:
        """Where the hold stands."""
        return str(self.hold.status).lower()

    @property
    def cost_micro(self) -> int | None:
        """What the provider asks for it, in micro-currency; None while it goes on."""
        if self.ending is None:
            return None
        return cost_micro(Usage(**self.ending["usage"]), facts_from_json(dict(self.facts)))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which calls of a payer: of a provider, of a request, taken within a range (both ends included)."""

    provider: str | None = None
    request_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def receipt(caller: Caller, hold_id: UUID) -> Receipt:
    """The receipt of one call, with its transfers. Two queries, and those that say whose it is.

    Raises:
        NotFound: there is none, or it is none of the caller's payers'.
    """
    found = [hold for hold in _holds().filter(id=hold_id) if _may_see(caller, hold)]
    if not found:
        raise NotFound
    return with_transfers(found)[0]


def receipts_of_request(name: str) -> list[Receipt]:
    """Receipts of a request id or a reservation id, whoever paid, newest first, with their transfers."""
    try:
        named = Q(request_id=name) | Q(id=UUID(name))
    except ValueError:
        named = Q(request_id=name)
    return with_transfers(_holds().filter(named).order_by("-id")[:MOST_OF_A_REQUEST])


def receipts_of(payer: Payer, wanted: Wanted, *, before: UUID | None, limit: int) -> list[Receipt]:
    """At most ``limit`` of a payer's calls, newest first, from before ``before``. Without transfers; three queries.

    Each account is read by its own key (account, id) from its newest call down, or by the index of request ids.
    """
    accounts = Account.objects.filter(payer_id=payer.id, payer_kind=payer.kind)
    if wanted.provider is not None:
        accounts = accounts.filter(provider=wanted.provider)
    ids = list(accounts.values_list("id", flat=True))
    query = {
        "accounts": ids,
        "before": before,
        "limit": limit,
        "request_id": wanted.request_id,
        "since": wanted.since,
        "until": wanted.until,
        "first": earliest_id(wanted.since),
        "last": _latest_id(wanted.until),
    }
    with connection.cursor() as cursor:
        cursor.execute(_OF_REQUEST if wanted.request_id is not None else _NEWEST, query)
        found = [row[0] for row in cursor.fetchall()]
    return _receipts(list(_holds().filter(account_id__in=ids, id__in=found).order_by("-id")))


_WITHIN = """
      AND (%(before)s::uuid IS NULL OR id < %(before)s::uuid)
      AND (%(since)s::timestamptz IS NULL OR taken_at >= %(since)s::timestamptz)
      AND (%(until)s::timestamptz IS NULL OR taken_at <= %(until)s::timestamptz)
"""

# Rows are compared whole, so that only the key (account, id) will do: by the index of ids alone, an account that calls
# seldom would be looked for among everybody's calls.
_NEWEST = f"""
SELECT hold.id FROM unnest(%(accounts)s::uuid[]) AS given (account) CROSS JOIN LATERAL (
    SELECT id FROM quotas_hold
    WHERE (account_id, id) >= (given.account, %(first)s::uuid)
      AND (account_id, id) <= (given.account, %(last)s::uuid) {_WITHIN}
    ORDER BY account_id DESC, id DESC LIMIT %(limit)s
) AS hold ORDER BY hold.id DESC LIMIT %(limit)s
"""  # noqa: S608 (constant text)

_OF_REQUEST = f"""
SELECT id FROM quotas_hold
WHERE request_id = %(request_id)s AND account_id = ANY(%(accounts)s::uuid[]) {_WITHIN}
ORDER BY id DESC LIMIT %(limit)s
"""  # noqa: S608 (constant text)


def earliest_id(since: datetime | None) -> UUID:
    """No call that was taken from ``since`` on has a lesser id: ids begin with their gateway's time."""
    return UUID(int=0) if since is None else _id_at(since - CLOCKS_APART)


def _latest_id(until: datetime | None) -> UUID:
    return UUID(int=2**128 - 1) if until is None else _id_at(until + CLOCKS_APART)


def _id_at(moment: datetime) -> UUID:
    milliseconds = int(moment.timestamp() * 1000)
    return UUID(int=min(max(milliseconds, 0), 2**48 - 1) << 80)


def with_transfers(holds: "QuerySet[Hold] | list[Hold]") -> list[Receipt]:
    """Receipts with what their calls moved, by the index of (account, reference)."""
    rows = list(holds)
    moved: dict[UUID, list[Moved]] = {hold.id: [] for hold in rows}
    accounts = {hold.account_id for hold in rows}
    transfers = Transfer.objects.filter(account_id__in=accounts, ref__in=moved).order_by("at", "id")
    for transfer in transfers:
        one = Moved(transfer.id, transfer.at, transfer.code, transfer.debit, transfer.credit, transfer.amount)
        moved[transfer.ref].append(one)
    return _receipts(rows, moved)


def _receipts(holds: Iterable[Hold], moved: Mapping[UUID, Sequence[Moved]] | None = None) -> list[Receipt]:
    return [
        Receipt(
            hold=hold,
            payer=Payer(hold.account.payer_kind, hold.account.payer_id),
            provider=hold.account.provider,
            facts=hold.facts,
            ending=hold.ending,
            transfers=(moved or {}).get(hold.id, ()),
        )
        for hold in holds
    ]


def _holds() -> QuerySet[Hold]:
    return Hold.objects.select_related("account")


def _may_see(caller: Caller, hold: Hold) -> bool:
    return payers.may_see(caller, hold.account.payer_kind, hold.account.payer_id)
