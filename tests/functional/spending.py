"""Tokens and calls of the matrix's callers."""

from uuid import UUID, uuid4

from apps.core.ids import uuid7
from apps.core.units import Usage, Weights
from apps.quotas.api import CallFacts, Hold, Settlement, account_id, grant, reserve, settle

PROVIDER = "openai"
HOLD_MS = 60_000


def own(user_id: UUID) -> str:
    """A provider with which a user has tokens."""
    _grant("user", user_id)
    return PROVIDER


def pool(org_id: UUID) -> str:
    """A provider with which an organisation has tokens."""
    _grant("org", org_id)
    return PROVIDER


def call(org_id: UUID) -> tuple[str, str]:
    """Reservation and request id of a call that an organisation paid for."""
    pool(org_id)
    hold = Hold(uuid7(), account_id("org", org_id, PROVIDER), 10, _facts(org_id))
    reserve(hold, ttl_ms=HOLD_MS)
    settle(Settlement(hold.id, hold.account, 4, Usage(input=3, output=1), "completed", "provider", 200, 12))
    return str(hold.id), hold.facts.request_id


def _grant(kind: str, payer_id: UUID) -> None:
    """Once, however often: the grant's id is the payer's."""
    grant(
        payer_kind=kind,
        payer_id=payer_id,
        provider=PROVIDER,
        tokens=1000,
        grant_id=payer_id,
        reason="matrix",
        actor="tests",
    )


def _facts(org_id: UUID) -> CallFacts:
    return CallFacts(
        request_id=f"req_{uuid4().hex}",
        payer_kind="org",
        payer_id=org_id,
        org_id=org_id,
        user_id=uuid4(),
        key_id="k123456789",
        provider=PROVIDER,
        model="gpt-4o-mini",
        endpoint="/v1/chat/completions",
        streamed=False,
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        price_id="price-1",
        weights=Weights(input=1000, cached_input=1000, output=1000),
        input_price=0,
        cached_input_price=0,
        output_price=0,
        currency="USD",
    )
