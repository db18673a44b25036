"""Taking tokens back out of an account's purse, for revocations and expiry: they come back by the journal."""

from uuid import UUID

from apps.core.ids import uuid7
from apps.limiter.api import Limiter, Recall, RecalledKind, recall_call
from apps.quotas.store import quota_store


def recall(account: UUID, tokens: int, *, limiter: Limiter | None = None) -> int:
    """Ask an account's purse for up to ``tokens`` that no call has reserved; returns how many it gives.

    They are available again once the drainer has booked them. What is reserved cannot be recalled.

    Raises:
        StoreUnavailable: Valkey did not answer; what it gave comes back all the same.
    """
    store = limiter or quota_store()
    purse = store.purse(account)
    if purse is None or not purse.available or tokens < 1:
        return 0
    order = Recall(uuid7(), account, purse.generation, purse.epoch, tokens, close=False)
    answer = store.run(recall_call(order))
    return answer.tokens if answer.kind is RecalledKind.OK else 0
