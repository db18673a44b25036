"""Holds and their ends: values and arithmetic, no framework.

A hold is taken before a call leaves and ends exactly once: settled with what the call used, released, or expired when
its gateway stopped renewing it. A settlement that comes after the expiry corrects it.
"""

from dataclasses import dataclass, field
from uuid import UUID, uuid5

from apps.core.units import Usage, Weights

ACCOUNTS = UUID("5bd3a0ce-5f0e-4b8e-9c3c-3f0f6e1f7a10")
"""Name space of account ids."""


def account_id(payer_kind: str, payer_id: UUID, provider: str) -> UUID:
    """The account of a payer (``user`` or ``org``) with a provider: derived, so that nobody needs to look it up."""
    return uuid5(ACCOUNTS, f"{payer_kind}:{payer_id}:{provider}")


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What is known of a call before it leaves; it goes into the usage event as it is."""

    request_id: str
    payer_kind: str
    payer_id: UUID
    org_id: UUID | None
    user_id: UUID
    key_id: str
    provider: str
    model: str
    endpoint: str
    streamed: bool
    traceparent: str
    price_id: str
    weights: Weights
    input_price: int
    cached_input_price: int
    output_price: int
    currency: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Tokens set aside for one call. ``id`` is the reservation id that the caller sees."""

    id: UUID
    account: UUID
    amount: int
    facts: CallFacts


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a call ended. ``tokens`` is what it costs (weighted); ``usage`` what the provider's side used.

    ``outcome``: ``completed``, ``client_closed``, ``upstream_error``, ``timeout``, ``aborted``, ``expired``.
    ``usage_source``: ``provider``, ``counted`` (by our tokenizer from what was read), ``estimated`` or ``none``.
    """

    hold: UUID
    account: UUID
    tokens: int
    usage: Usage
    outcome: str
    usage_source: str
    status: int
    latency_ms: int
    first_byte_ms: int | None = None
    finished_by: str = field(default="gateway")


@dataclass(frozen=True, slots=True)
class Settled:
    """What a settlement did, in tokens: ``charged + released = held``, unless the call overran its hold.

    ``absorbed`` is the part of an overrun that the account could not cover; the house bears it. ``first`` is False when
    the hold had been settled before and nothing was changed.
    """

    charged: int
    released: int
    absorbed: int
    first: bool


@dataclass(frozen=True, slots=True)
class Split:
    """A settlement's amounts: taken from the hold, given back, taken from what is available, borne by the house."""

    from_hold: int
    back: int
    from_available: int
    absorbed: int


def split(*, tokens: int, held: int, available: int) -> Split:
    """Divide a call's cost over its hold, the account's free tokens and the house, in this order."""
    from_hold = min(tokens, held)
    from_available = min(tokens - from_hold, max(available, 0))
    return Split(from_hold, held - from_hold, from_available, tokens - from_hold - from_available)
