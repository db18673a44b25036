"""What is kept of calls that a limit refused: a trace of each for a day, and counts for the ledger.

A refused call writes no row. Its trace is in the cache, for whoever asks why; a lost one is not missed. Counts are
gathered per payer, provider, reason and second, and go into the journal once a second; from there they become usage
events that were not allowed. A killed gateway loses its last second of them.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4, uuid5

import orjson
import structlog

from apps.core.errors import LeakyError
from gateway import metrics
from gateway.cache import Cache
from gateway.errors import ApiError
from gateway.exchange import Exchange
from gateway.metrics import tally
from gateway.plan import Plan

log = structlog.get_logger("gateway.refusals")

KEPT_SECONDS = 24 * 3600
MOST_COUNTS = 10_000
"""Counts of a second; what would be one more is not counted (it is in the metrics)."""


@dataclass(frozen=True, slots=True)
class Denied:
    """What a count is of: who would have paid, for which provider, why not, and in which second (Unix)."""

    account: UUID
    payer_kind: str
    payer_id: UUID
    provider: str
    reason: str
    second: int


Note = Callable[[UUID, UUID, bytes], Awaitable[object]]
"""Appends to the journal of an account's shard; the second id makes it count once."""


class Refusals:
    """The refusals of this process."""

    def __init__(self, cache: Cache, note: Note) -> None:
        self._cache = cache
        self._note = note
        self._process = uuid4()
        self._counts: dict[Denied, int] = {}

    def add(self, exchange: Exchange, plan: Plan, account: UUID, error: ApiError) -> None:
        """A call was refused: trace it, count it."""
        payer, now = plan.principal, time.time()
        tally.count(metrics.REFUSALS, plan.provider.slug, error.code)
        # Callers choose request ids: what one payer leaves under an id must not replace what another left.
        trace, of_payer = _trace(exchange, plan, error, now), f"{payer.payer_kind}:{payer.payer_id}"
        self._cache.put_field_soon(f"refusal:{exchange.request_id}", of_payer, trace, seconds=KEPT_SECONDS)
        denied = Denied(account, payer.payer_kind, payer.payer_id, plan.provider.slug, error.code, int(now))
        if denied in self._counts or len(self._counts) < MOST_COUNTS:
            self._counts[denied] = self._counts.get(denied, 0) + 1

    async def journal(self) -> None:
        """Write the counts of the seconds that are over. What the journal does not take now is kept for later."""
        now = int(time.time())
        over = [denied for denied in self._counts if denied.second < now]
        for denied in over:
            try:
                await self._note(denied.account, self._id_of(denied), _count(denied, self._counts[denied]))
            except LeakyError as error:
                log.warning("refusals.not_journalled", counts=len(self._counts), reason=str(error))
                return
            del self._counts[denied]

    def _id_of(self, denied: Denied) -> UUID:
        """The same whenever it is asked: a count whose writing was in doubt is written again."""
        return uuid5(self._process, f"{denied.account}:{denied.reason}:{denied.second}")


def _trace(exchange: Exchange, plan: Plan, error: ApiError, now: float) -> bytes:
    payer, at = plan.principal, datetime.fromtimestamp(now, UTC)
    limit = None if error.limit is None else error.limit.fields()
    if limit is not None and error.limit is not None and error.limit.passes_in_ms is not None:
        limit["passes_at"] = (at + timedelta(milliseconds=error.limit.passes_in_ms)).isoformat()
    return orjson.dumps(
        {
            "request_id": exchange.request_id, "at": at, "payer_kind": payer.payer_kind, "payer_id": payer.payer_id,
            "provider": plan.provider.slug, "model": plan.model.name, "key_id": payer.key_id, "status": error.status,
            "code": error.code, "limit": limit, "message": error.message,
        }
    )  # fmt: skip


def _count(denied: Denied, count: int) -> bytes:
    return orjson.dumps(
        {
            "payer_kind": denied.payer_kind, "payer_id": denied.payer_id, "provider": denied.provider,
            "reason": denied.reason, "second": denied.second, "count": count,
        }
    )  # fmt: skip
