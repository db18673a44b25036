"""Payers of a test's own, their calls, and what the ledger says of them."""

from dataclasses import replace
from uuid import UUID, uuid4

from django.db import connection

from apps.core.units import Usage, Weights
from apps.quotas.api import CallFacts, Hold, Settlement, account_id, grant
from apps.quotas.models import Transfer

MINUTE_MS = 60_000
OVERDUE_MS = -1
"""A time to live that is over when the hold is taken."""


def funded_account(tokens: int) -> UUID:
    """A new payer's account with a grant of ``tokens``."""
    return grant(
        payer_kind="user",
        payer_id=uuid4(),
        provider="openai",
        tokens=tokens,
        grant_id=uuid4(),
        reason="test",
        actor="tests",
    ).id


def empty_account_id() -> UUID:
    """The id of an account that was never opened."""
    return account_id("user", uuid4(), "openai")


def hold_of(account: UUID, amount: int) -> Hold:
    """A hold, not yet taken."""
    return Hold(uuid4(), account, amount, facts())


def facts() -> CallFacts:
    """A call as the gateway knows it before it leaves."""
    return CallFacts(
        request_id=f"req_{uuid4().hex}",
        payer_kind="user",
        payer_id=uuid4(),
        org_id=uuid4(),
        user_id=uuid4(),
        key_id="k123456789",
        provider="openai",
        model="gpt-4o-mini",
        endpoint="/v1/chat/completions",
        streamed=True,
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        price_id="price-1",
        weights=Weights(input=1000, cached_input=500, output=4000),
        input_price=150_000,
        cached_input_price=75_000,
        output_price=600_000,
        currency="USD",
    )


def settlement_of(hold: Hold, tokens: int) -> Settlement:
    """A completed call that costs ``tokens``."""
    return Settlement(
        hold=hold.id,
        account=hold.account,
        tokens=tokens,
        usage=Usage(input=20, cached_input=4, output=16, reasoning=2),
        outcome="completed",
        usage_source="provider",
        status=200,
        latency_ms=812,
        first_byte_ms=230,
    )


def released(hold: Hold) -> Settlement:
    """A call that never reached its provider."""
    return replace(settlement_of(hold, 0), usage=Usage(), outcome="upstream_error", usage_source="none", status=502)


def entries(account: UUID) -> list[tuple[str, int]]:
    """Codes and amounts of an account's transfers, in order."""
    return list(Transfer.objects.filter(account_id=account).order_by("at", "id").values_list("code", "amount"))


def make_overdue(hold: Hold) -> None:
    """Let a hold's time be over, as if nobody had renewed it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE quotas_hold SET expires_at = clock_timestamp() - interval '1 second' WHERE id = %s", [hold.id]
        )
