"""What became of a request, by its id: refused, and by which limit; or admitted, and what that cost."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from apps.core.errors import NotFound
from apps.core.http.caller import Caller
from apps.quotas import payers
from apps.quotas.explanations import Admitted, Limit, Refusal, told_admitted, told_refused
from apps.quotas.payers import Payer
from apps.quotas.receipts import Receipt, receipts_of_request
from apps.quotas.refusals import refusals_of

ADMITTED, REFUSED = "admitted", "refused"


@dataclass(frozen=True, slots=True)
class Explanation:
    """One call that a request id names. ``sentences`` tell all of it; the other fields are for programs."""

    request_id: str
    decision: str
    at: datetime
    payer: Payer
    status: int | None
    code: str | None
    limit: Limit | None
    reservation_id: UUID | None
    sentences: list[str]


def explain(request_id: str) -> list[Explanation]:
    """Every call of a request id that anything is known of, oldest first. For operators."""
    return _explained(request_id, lambda _payer: True)


def explain_to(caller: Caller, request_id: str) -> list[Explanation]:
    """The same, of the calls that the caller's payers made.

    Raises:
        NotFound: there are none.
    """
    found = _explained(request_id, lambda payer: payers.may_see(caller, payer.kind, payer.id))
    if not found:
        raise NotFound
    return found


def _explained(request_id: str, may_see: Callable[[Payer], bool]) -> list[Explanation]:
    receipts: Iterable[Receipt] = receipts_of_request(request_id)
    told = [_admitted(receipt) for receipt in receipts] + [_refused(refusal) for refusal in refusals_of(request_id)]
    return sorted((one for one in told if may_see(one.payer)), key=lambda one: one.at)


def _refused(refusal: Refusal) -> Explanation:
    payer = Payer(refusal.payer_kind, refusal.payer_id)
    return Explanation(
        request_id=refusal.request_id,
        decision=REFUSED,
        at=refusal.at,
        payer=payer,
        status=refusal.status,
        code=refusal.code,
        limit=refusal.limit,
        reservation_id=None,
        sentences=told_refused(refusal, _named(payer)),
    )


def _admitted(receipt: Receipt) -> Explanation:
    hold, ending = receipt.hold, receipt.ending
    call = Admitted(
        at=hold.taken_at,
        payer=_named(receipt.payer),
        provider=receipt.provider,
        model=str(receipt.facts["model"]),
        state=receipt.state,
        held=hold.amount,
        charged=hold.charged,
        absorbed=hold.absorbed,
        ended_at=hold.ended_at,
        reservation=str(hold.id),
        ending=ending,
        cost_micro=receipt.cost_micro,
        currency=str(receipt.facts["currency"]),
        moved=receipt.transfers,
    )
    return Explanation(
        request_id=hold.request_id,
        decision=ADMITTED,
        at=hold.taken_at,
        payer=receipt.payer,
        status=None if ending is None else ending.get("status"),
        code=None if ending is None else ending.get("outcome"),
        limit=None,
        reservation_id=hold.id,
        sentences=told_admitted(call),
    )


def _named(payer: Payer) -> str:
    return f"{'the organisation' if payer.kind == payers.ORG else 'the user'} {payer.id}"
