"""The ``token-usage`` event that a hold's end writes: its contract, and how it is made. Pure, like the domain."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID, uuid5

import orjson

from apps.core.units import Usage
from apps.quotas.domain import CallFacts, Settlement, facts_from_json, facts_to_json

VERSION = 1
MILLION = 1_000_000


class TokenCounts(TypedDict):
    """Provider tokens by kind. ``cached_input`` is a part of ``input``, ``reasoning`` a part of ``output``."""

    input: int
    cached_input: int
    output: int
    reasoning: int


class PriceThen(TypedDict):
    """The price in force when the call left: weights in milli-tokens, money in micro-currency per million tokens."""

    id: str
    currency: str
    input: int
    cached_input: int
    output: int
    input_weight: int
    cached_input_weight: int
    output_weight: int


class UsageData(TypedDict):
    """Data of a ``token-usage`` event, version 1. Ids and times are strings; amounts are weighted tokens.

    A call that was settled late has two events: the expiry's, then one that ``corrects`` it and carries differences
    (``charged``, ``held``, ``absorbed``; the expiry knew no ``tokens`` and no ``cost_micro``). So sums over all events
    are exact, and calls are the events whose ``corrects`` is null.
    """

    account_id: str
    payer_kind: str
    payer_id: str
    org_id: str | None
    user_id: str
    key_id: str
    provider: str
    model: str
    endpoint: str
    streamed: bool
    allowed: bool
    tokens: TokenCounts
    charged: int
    held: int
    absorbed: int
    price: PriceThen
    cost_micro: int
    outcome: str
    usage_source: str
    status: int
    latency_ms: int
    first_byte_ms: int | None
    finished_by: str
    request_id: str
    reservation_id: str
    corrects: str | None
    occurred_at: str


class DeniedData(TypedDict):
    """Data of a ``token-usage`` event of calls that a limit refused: how many of a payer's in one second, and why."""

    account_id: str
    payer_kind: str
    payer_id: str
    provider: str
    allowed: bool
    reason: str
    count: int
    occurred_at: str


@dataclass(frozen=True, slots=True)
class Charge:
    """What one end or correction moved, in tokens."""

    charged: int
    held: int
    absorbed: int


def cost_micro(usage: Usage, facts: CallFacts) -> int:
    """What the provider asks for a call, in micro-currency: kinds times prices, rounded up once per call."""
    fresh = usage.input - usage.cached_input
    total = (
        fresh * facts.input_price
        + usage.cached_input * facts.cached_input_price
        + usage.output * facts.output_price
    )  # fmt: skip
    return -(-total // MILLION)


def event_id(hold: UUID, *, corrects: bool) -> UUID:
    """The event of a hold's end has the hold's id, so that no hop counts it twice; its correction one derived of it."""
    return uuid5(hold, "correction") if corrects else hold


def data_of(
    facts: CallFacts, settlement: Settlement, amounts: Charge, *, corrects: bool, occurred_at: datetime
) -> UsageData:
    """All that analytics will need of a call that has ended."""
    return {
        "account_id": str(settlement.account),
        "payer_kind": facts.payer_kind,
        "payer_id": str(facts.payer_id),
        "org_id": str(facts.org_id) if facts.org_id else None,
        "user_id": str(facts.user_id),
        "key_id": facts.key_id,
        "provider": facts.provider,
        "model": facts.model,
        "endpoint": facts.endpoint,
        "streamed": facts.streamed,
        "allowed": True,
        "tokens": _counts(settlement.usage),
        "charged": amounts.charged,
        "held": amounts.held,
        "absorbed": amounts.absorbed,
        "price": _price(facts),
        "cost_micro": cost_micro(settlement.usage, facts),
        "outcome": settlement.outcome,
        "usage_source": settlement.usage_source,
        "status": settlement.status,
        "latency_ms": settlement.latency_ms,
        "first_byte_ms": settlement.first_byte_ms,
        "finished_by": settlement.finished_by,
        "request_id": facts.request_id,
        "reservation_id": str(settlement.hold),
        "corrects": str(settlement.hold) if corrects else None,
        "occurred_at": occurred_at.isoformat(),
    }


def denied_data(account: UUID, told: Mapping[str, Any], *, occurred_at: datetime) -> DeniedData:
    """What a gateway has counted of refusals."""
    return {
        "account_id": str(account),
        "payer_kind": told["payer_kind"],
        "payer_id": told["payer_id"],
        "provider": told["provider"],
        "allowed": False,
        "reason": told["reason"],
        "count": int(told["count"]),
        "occurred_at": occurred_at.isoformat(),
    }


def _counts(usage: Usage) -> TokenCounts:
    return {
        "input": usage.input,
        "cached_input": usage.cached_input,
        "output": usage.output,
        "reasoning": usage.reasoning,
    }


def _price(facts: CallFacts) -> PriceThen:
    return {
        "id": facts.price_id,
        "currency": facts.currency,
        "input": facts.input_price,
        "cached_input": facts.cached_input_price,
        "output": facts.output_price,
        "input_weight": facts.weights.input,
        "cached_input_weight": facts.weights.cached_input,
        "output_weight": facts.weights.output,
    }


def ending_of(settlement: Settlement) -> dict[str, Any]:
    """How a call ended, as its hold keeps it and as it goes through the journal; the rest of it the ledger knows."""
    return {
        "usage": _counts(settlement.usage),
        "outcome": settlement.outcome,
        "usage_source": settlement.usage_source,
        "status": settlement.status,
        "latency_ms": settlement.latency_ms,
        "first_byte_ms": settlement.first_byte_ms,
        "finished_by": settlement.finished_by,
    }


def settlement_of(hold: UUID, account: UUID, tokens: int, ending: Mapping[str, Any]) -> Settlement:
    """The inverse of :func:`ending_of`, with what the ledger knows."""
    return Settlement(hold, account, tokens, **{**ending, "usage": Usage(**ending["usage"])})


def facts_to_bytes(facts: CallFacts) -> bytes:
    """A call's facts as they go through the journal."""
    return _compact(facts_to_json(facts))


def facts_from_bytes(text: bytes) -> CallFacts:
    """The inverse of :func:`facts_to_bytes`."""
    return facts_from_json(orjson.loads(text))


def ending_to_bytes(settlement: Settlement) -> bytes:
    """How a call ended as it goes through the journal: the payload of its entry."""
    return _compact(ending_of(settlement))


def _compact(plain: Mapping[str, Any]) -> bytes:
    return orjson.dumps(plain)
