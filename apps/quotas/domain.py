"""Holds and their ends: values and arithmetic, no framework.

A hold is taken before a call leaves and ends exactly once: settled with what the call used, released, or expired when
its gateway stopped renewing it. A settlement that comes after the expiry corrects it.
"""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid5

from apps.core.units import Usage, Weights

REMEMBERED_ACCOUNTS = 65_536
"""Derived ids that a process keeps: deriving one costs more than all else that admission does in memory."""

ACCOUNTS = UUID("5bd3a0ce-5f0e-4b8e-9c3c-3f0f6e1f7a10")
"""Name space of account ids."""


@lru_cache(maxsize=REMEMBERED_ACCOUNTS)
def account_id(payer_kind: str, payer_id: UUID, provider: str) -> UUID:
    """The account of a payer (``user`` or ``org``) with a provider: derived, so that nobody needs to look it up."""
    return uuid5(ACCOUNTS, f"{payer_kind}:{payer_id}:{provider}")


Allowance = tuple[str, str, int]
"""Provider, window (``day``, ``week``, ``month``) and tokens, as a tier has it."""


@dataclass(slots=True, unsafe_hash=True)
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
class Budget:
    """What some calls may come to, in tokens, whatever their payer has; counted from when there is one.

    ``id`` is the first of the keys that replaced one another (they share it), or ``member:<org>:<user>:<provider or
    *>:<window start>``.
    """

    id: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Tokens set aside for one call. ``id`` is the reservation id that the caller sees.

    ``tier``, ``allowances`` and ``quota_cap`` are the payer's tier's: what it is given with each window, and what it
    may spend in a day (UTC).
    """

    id: UUID
    account: UUID
    amount: int
    facts: CallFacts
    budgets: tuple[Budget, ...] = ()
    tier: str = ""
    allowances: tuple[Allowance, ...] = ()
    quota_cap: int | None = None


@dataclass(slots=True, unsafe_hash=True)
class Settlement:
    """How a call ended. ``tokens`` is what it costs (weighted); ``usage`` what the provider's side used.

    ``outcome``: ``completed``, ``out_of_tokens`` (a hold that was to grow could not), ``client_closed``,
    ``upstream_error``, ``timeout``, ``aborted``, ``expired``.
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


@dataclass(slots=True, unsafe_hash=True)
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


@dataclass(frozen=True, slots=True)
class Correction:
    """What a late settlement takes, in tokens: from the account and from the house. Negative: it gives back."""

    charged: int
    absorbed: int


def correct(*, tokens: int, charged: int, absorbed: int, available: int) -> Correction:
    """Bring an expired hold, for which ``charged + absorbed`` was taken, to what the call really cost.

    More is taken from what is available, then from the house; less is given back to the house first, because the
    account had been charged only what it could pay.
    """
    difference = tokens - charged - absorbed
    if difference >= 0:
        more = min(difference, max(available, 0))
        return Correction(more, difference - more)
    unborne = min(-difference, absorbed)
    return Correction(difference + unborne, -unborne)


class Status(StrEnum):
    """Where a hold stands. Only ``EXPIRED`` can be left, once, by a late settlement."""

    HELD = "HELD"
    SETTLED = "SETTLED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"


class Code(StrEnum):
    """Why tokens moved. One code happens at most once per account and reference (hold, grant, part of a lease …).

    Leases: ``LEASE`` gives tokens to Valkey, ``SETTLE`` spends them, ``RETURN`` brings them back by the journal,
    ``CLOSE`` what a closed lease had left. ``LATE`` is the charge of a call whose lease was closed before it was
    booked. ``SETTLE_FIX``, ``LATE_FIX`` and ``ABSORB_FIX`` correct a call that had been ended by the sweeper.
    """

    GRANT = "GRANT"
    HOLD = "HOLD"
    SETTLE = "SETTLE"
    RELEASE = "RELEASE"
    OVERRUN = "OVERRUN"
    ABSORB = "ABSORB"
    SETTLE_FIX = "SETTLE_FIX"
    ABSORB_FIX = "ABSORB_FIX"
    LEASE = "LEASE"
    RETURN = "RETURN"
    CLOSE = "CLOSE"
    LATE = "LATE"
    LATE_FIX = "LATE_FIX"
    EXPIRE = "EXPIRE"
    REVOKE = "REVOKE"


@dataclass(frozen=True, slots=True)
class Entry:
    """A double entry: ``amount`` tokens leave the balance ``debit`` and arrive in ``credit``.

    Balances are the columns of an account; ``issuer`` and ``house`` are ours.
    """

    code: Code
    debit: str
    credit: str
    amount: int


def entries_of_end(parts: Split) -> list[Entry]:
    """The entries that end a hold."""
    return _moving(
        Entry(Code.SETTLE, "held", "spent", parts.from_hold),
        Entry(Code.RELEASE, "held", "available", parts.back),
        Entry(Code.OVERRUN, "available", "spent", parts.from_available),
        Entry(Code.ABSORB, "house", "absorbed", parts.absorbed),
    )


def entries_of_correction(correction: Correction) -> list[Entry]:
    """The entries that correct a hold which had expired."""
    return _moving(
        either_way(Code.SETTLE_FIX, "available", "spent", correction.charged),
        either_way(Code.ABSORB_FIX, "house", "absorbed", correction.absorbed),
    )


def either_way(code: Code, source: str, target: str, amount: int) -> Entry:
    """An entry from ``source`` to ``target``; a negative amount goes the other way."""
    return Entry(code, source, target, amount) if amount >= 0 else Entry(code, target, source, -amount)


def _moving(*entries: Entry) -> list[Entry]:
    return [entry for entry in entries if entry.amount]


@dataclass(frozen=True, slots=True)
class Account:
    """An account and its balances, in tokens.

    ``granted = pending + available + leased + held + spent + expired + refunded``; ``absorbed`` stands beside it.
    """

    id: UUID
    payer_kind: str
    payer_id: UUID
    provider: str
    suspended: bool
    granted: int
    pending: int
    available: int
    leased: int
    held: int
    spent: int
    expired: int
    refunded: int
    absorbed: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A number that is not what its evidence adds up to: which it is, its value, and the sum. No account: a
    budget's.
    """

    account: UUID | None
    balance: str
    value: int
    evidence: int


def facts_to_json(facts: CallFacts) -> dict[str, Any]:
    """A call's facts as the hold keeps them until its end."""
    plain = asdict(facts)
    return plain | {name: str(plain[name]) for name in ("payer_id", "user_id", "org_id") if plain[name]}


def facts_from_json(plain: dict[str, Any]) -> CallFacts:
    """The inverse of :func:`facts_to_json`."""
    ids = {name: UUID(plain[name]) for name in ("payer_id", "user_id", "org_id") if plain[name]}
    return CallFacts(**{**plain, **ids, "weights": Weights(**plain["weights"])})


def expiry(*, hold: UUID, account: UUID, progress: int, latency_ms: int) -> Settlement:
    """How a hold ends whose gateway stopped renewing it: charged what it had reported, in tokens.

    Which kinds of tokens they were is not known, so the event counts none and no money.
    """
    source = "counted" if progress else "none"
    return Settlement(
        hold, account, progress, Usage(), "expired", source, status=0, latency_ms=latency_ms, finished_by="sweeper"
    )
