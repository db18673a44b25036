"""The story of a request in plain sentences, from what was kept of it. Pure, like the domain."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

WHY = {
    "completed": "it was answered in full",
    "out_of_tokens": "there were no tokens for the rest of its answer",
    "client_closed": "the client left before the end",
    "upstream_error": "the provider failed",
    "timeout": "the provider took too long",
    "aborted": "the gateway stopped",
    "expired": "its gateway died, and nobody renewed the hold",
    "hold_lost": "its hold was lost, so it was stopped",
    "slow_client": "the client read too slowly",
    "revoked": "its credential was revoked while it went on",
}
"""Outcomes in words."""

SOURCES = {
    "provider": "as the provider reported it",
    "counted": "as our tokenizer counted it",
    "estimated": "as the bytes suggest",
    "none": "without anything to count",
}
"""Usage sources in words."""


class Moved(Protocol):
    """A transfer of a call."""

    @property
    def code(self) -> str:
        """Why tokens moved."""

    @property
    def debit(self) -> str:
        """The balance that gave."""

    @property
    def credit(self) -> str:
        """The balance that got."""

    @property
    def amount(self) -> int:
        """Tokens."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit that refused a call. Amounts are in the limit's own unit; None: it has no such amount."""

    name: str
    value: int | None
    used: int | None
    held: int | None
    needed: int | None
    passes_in_ms: int | None
    passes_at: datetime | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that was refused, and why. ``limit`` None: it was no limit's doing."""

    request_id: str
    at: datetime
    payer_kind: str
    payer_id: UUID
    provider: str
    model: str
    key_id: str
    status: int
    code: str
    message: str
    limit: Limit | None


@dataclass(frozen=True, slots=True)
class Admitted:
    """A call that was let through. ``ending`` is how it ended, None while it goes on."""

    at: datetime
    payer: str
    provider: str
    model: str
    state: str
    held: int
    charged: int
    absorbed: int
    ended_at: datetime | None
    reservation: str
    ending: Mapping[str, Any] | None
    cost_micro: int | None
    currency: str
    moved: Sequence[Moved]


def told_refused(refusal: Refusal, payer: str) -> list[str]:
    """The story of a call that was refused; ``payer`` is who would have paid, in words."""
    what = " ".join(
        ["a call", *(f"{word} {name}" for word, name in (("of", refusal.model), ("at", refusal.provider)) if name)]
    )
    said = [f"{_moment(refusal.at)}: {what} for {payer} was refused with {refusal.status} {refusal.code}."]
    if refusal.message:
        said.append(f"The caller was told: {refusal.message}")
    if refusal.limit is not None:
        said += _limit(refusal.limit)
    return [*said, "Nothing was held or charged for it."]


def _limit(limit: Limit) -> Iterator[str]:
    name = limit.name.replace("_", " ")
    yield f"The limit was {name}" + ("." if limit.value is None else f": {limit.value:,}.")
    amounts = [
        f"{value:,} {words}"
        for value, words in ((limit.used, "were used"), (limit.held, "were held by calls under way"))
        if value is not None
    ]
    if limit.needed is not None:
        amounts.append(f"the call needed {limit.needed:,}")
    if amounts:
        yield f"At that moment {', '.join(amounts)}."
    yield _when(limit)


def _when(limit: Limit) -> str:
    if limit.passes_at is not None:
        return f"If nobody else had called, it would have passed at {_moment(limit.passes_at)}."
    if limit.passes_in_ms is not None:
        return f"If nobody else had called, it would have passed {limit.passes_in_ms:,} ms later."
    return "Waiting alone would not have let it pass."


def told_admitted(call: Admitted) -> list[str]:
    """The story of a call that was admitted."""
    said = [
        f"{_moment(call.at)}: a call of {call.model} at {call.provider} was admitted; {call.payer} pays.",
        f"{call.held:,} tokens were held for it under the reservation {call.reservation}.",
        *(_ending(call) if call.state != "held" else ["It has not ended yet."]),
    ]
    if call.moved:
        said.append("In the ledger: " + "; ".join(map(_movement, call.moved)) + ".")
    return [*said, *_used(call)]


def _ending(call: Admitted) -> Iterator[str]:
    outcome = str((call.ending or {}).get("outcome", ""))
    why = WHY.get(outcome, outcome or "its ending is not known")
    at = f" at {_moment(call.ended_at)}" if call.ended_at else ""
    yield f"It ended{at}, because {why}."
    charge = f"{call.charged:,} tokens were charged" if call.charged else "Nothing was charged"
    back = max(call.held - call.charged, 0)
    yield charge + (f" and {back:,} given back." if back else ".")
    if call.absorbed:
        yield f"{call.absorbed:,} more tokens were used than the account could pay: the house bore them."


def _used(call: Admitted) -> Iterator[str]:
    if call.ending is None:
        return
    used, source = call.ending["usage"], SOURCES.get(str(call.ending.get("usage_source")), "")
    yield f"Used: {used['input']:,} tokens in ({used['cached_input']:,} cached), {used['output']:,} out, {source}."
    if call.cost_micro is not None:
        yield f"The provider's price of that is {call.cost_micro:,} millionths of a {call.currency}."


def _movement(moved: Moved) -> str:
    return f"{moved.code} {moved.amount:,} from {moved.debit} to {moved.credit}"


def _moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC"
