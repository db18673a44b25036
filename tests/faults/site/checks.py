"""What must be true of a site once nothing is under way any more: the ledger adds up, and agrees with the provider."""

from collections import Counter
from collections.abc import Sequence
from functools import partial

from redis import RedisError

from apps.limiter.api import SHARDS, Limiter, journal_key, live_key
from apps.outbox.models import OutboxEvent
from apps.quotas import api as quotas
from apps.quotas.models import Hold
from tests.faults.site.load import Call
from tests.faults.site.site import Site
from tests.faults.site.witness import Log, costs, oversold
from tests.functional.payers import eventually

QUIET_SECONDS = 40
COUNT_ERROR = 2
"""Tokens by which our own count of a stream that broke off may differ from what the provider had generated."""

UNREAD = 3
"""Tokens that a provider may have generated before it learns that nobody reads on."""


def check(site: Site, calls: Sequence[Call], *, killed: bool = False) -> None:
    """Wait until the site is quiet, then compare everything with everything.

    Where gateways were ``killed``, calls may have been charged less than they used.
    """
    log = Log(site.stub.requests)
    assert eventually(lambda: log.under_way() == 0, seconds=QUIET_SECONDS), "the provider still works"
    assert eventually(lambda: unfinished(site) == [], seconds=QUIET_SECONDS), unfinished(site)
    assert quotas.check_identities() == []
    with Limiter(site.quota.url()) as limiter:
        assert quotas.check_purses(limiter) == []
    assert oversold(calls, log) == []
    wrong = partial(wrong_charges, calls, log, killed=killed)
    # What only a spool still knows is sent again after a while.
    assert eventually(lambda: wrong() == [], seconds=QUIET_SECONDS), wrong()[:5]
    # While a stream waits for its hold to grow its provider goes on, and what that makes the house may have to bear.
    assert absorbed([call for call in calls if not call.payer.grows]) == 0
    assert ended_twice(calls) == []


def unfinished(site: Site) -> list[str]:
    """What has not come to its end: holds, journals, spools."""
    held = Hold.objects.filter(status="HELD").count()
    return [f"{held} holds in the ledger"] * bool(held) + _unfinished_in_valkey(site)


def _unfinished_in_valkey(site: Site) -> list[str]:
    try:
        with site.quota.client() as client, client.pipeline(transaction=False) as pipe:
            for shard in range(SHARDS):
                pipe.zcard(live_key(shard))
                pipe.xlen(journal_key(shard))
            counts = pipe.execute()
    except RedisError as error:
        return [f"the quota store: {error}"]
    live, entries = sum(counts[::2]), sum(counts[1::2])
    return [f"{live} live holds"] * bool(live) + [f"{entries} journal entries"] * bool(entries)


def wrong_charges(calls: Sequence[Call], log: Log, *, killed: bool) -> list[str]:
    """Calls that were charged more than they used, or less than what their client got whole."""
    booked = costs(calls)
    return [
        f"{call.request_id}: charged {booked.get(call.request_id, 0)} for {call}"
        for call in calls
        if not _is_right(call, booked.get(call.request_id, 0), log, killed=killed)
    ]


def _is_right(call: Call, charged: int, log: Log, *, killed: bool) -> bool:
    served = log.served.get(call.request_id, [])
    generated = sum(one.generated for one in served)
    if not call.whole or call.status != 200:
        return charged <= generated + COUNT_ERROR
    if any(one.client_left for one in served):  # It was ended by us, because its hold could not grow.
        return call.payer.grows and abs(charged - generated) <= COUNT_ERROR + UNREAD
    return charged == generated or (killed and charged < generated)


def uncharged_share(site: Site, calls: Sequence[Call]) -> float:
    """The part of the tokens generated for these calls that nobody was charged for. The site is quiet."""
    log = Log(site.stub.requests)
    log.read()
    booked = costs(calls)
    generated = {call.request_id: sum(one.generated for one in log.served.get(call.request_id, ())) for call in calls}
    return sum(max(tokens - booked[name], 0) for name, tokens in generated.items()) / sum(generated.values())


def absorbed(calls: Sequence[Call]) -> int:
    """Tokens that the house paid for the accounts of these calls."""
    return sum(quotas.balance(account).absorbed for account in {call.payer.account for call in calls})


def ended_twice(calls: Sequence[Call]) -> list[str]:
    """Calls that have more than one hold, or more than an end and its one correction."""
    wanted = [call.request_id for call in calls]
    holds = Counter(Hold.objects.filter(request_id__in=wanted).values_list("request_id", flat=True))
    events = Counter(OutboxEvent.objects.filter(data__request_id__in=wanted).values_list("data__request_id", flat=True))
    return [name for name in wanted if holds[name] > 1 or events[name] > 2]
