"""How one call of a payer ended, in the ledger and in its usage event."""

from dataclasses import dataclass

from apps.outbox.models import OutboxEvent
from apps.quotas.models import Hold
from tests.functional.payers import Payer


@dataclass(frozen=True, slots=True)
class Booked:
    """Tokens charged, the outcome, and where the usage came from."""

    charged: int
    outcome: str
    source: str


def booked(payer: Payer) -> Booked:
    """The payer's one call, once it has ended; its balances agree."""
    account = payer.settled()
    hold = Hold.objects.get(account_id=payer.account)
    event = OutboxEvent.objects.get(id=hold.id).data
    assert hold.status in ("SETTLED", "RELEASED")
    assert (account.held, account.spent, event["charged"]) == (0, hold.charged, hold.charged)
    return Booked(hold.charged, event["outcome"], event["usage_source"])
