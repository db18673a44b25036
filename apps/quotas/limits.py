"""A payer's limits with each provider, and how much of them is in use now."""

from dataclasses import dataclass

from apps.limiter.api import Bucket, Mode, Policy, Strategy, bucket_reading, requests_reading
from apps.orgs.api import Tier
from apps.providers.api import enabled_providers
from apps.quotas import payers
from apps.quotas.payers import Payer
from apps.quotas.purses import Gauges, gauges_of


@dataclass(frozen=True, slots=True)
class Gauge:
    """How much of a limit is in use, in the limit's own unit; when it is empty if nobody calls (None: not known)."""

    limit: int
    used: int
    remaining: int
    empty_in_ms: int | None


@dataclass(frozen=True, slots=True)
class Limits:
    """A payer's limits with one provider. None: there is no such limit."""

    provider: str
    tier: str
    policy: Policy
    bucket: Gauge
    requests: Gauge | None
    concurrency: Gauge | None


def limits_of(payer: Payer) -> list[Limits]:
    """The limits of a payer, by provider.

    Raises:
        StoreUnavailable: the quota store did not answer.
    """
    tier = payers.tier(payer)
    accounts = {payer.account(provider): provider for provider in enabled_providers()}
    return [_limits(provider, tier, gauges_of(account)) for account, provider in accounts.items()]


def policy_of(tier: Tier) -> Policy:
    """A tier's limits as the limiter takes them."""
    return Policy(
        bucket=Bucket(tier.bucket_capacity, tier.leak_rate),
        strategy=Strategy(tier.strategy),
        mode=Mode(tier.mode),
        max_wait_ms=tier.max_wait_ms,
        window_ms=tier.window_seconds * 1000,
        requests_per_minute=tier.requests_per_minute,
        concurrency=tier.concurrency,
    )


def _limits(provider: str, tier: Tier, gauges: Gauges) -> Limits:
    policy = policy_of(tier)
    found = bucket_reading(gauges.bucket, policy, gauges.now_ms)
    return Limits(
        provider=provider,
        tier=tier.name,
        policy=policy,
        bucket=Gauge(found.capacity, found.level, found.remaining, found.empty_in_ms),
        requests=_requests(policy.requests_per_minute, gauges),
        concurrency=_concurrency(policy.concurrency, gauges),
    )


def _requests(per_minute: int | None, gauges: Gauges) -> Gauge | None:
    if per_minute is None:
        return None
    found = requests_reading(gauges.requests, per_minute, gauges.now_ms)
    return Gauge(found.limit, found.limit - found.remaining, found.remaining, found.reset_ms)


def _concurrency(limit: int | None, gauges: Gauges) -> Gauge | None:
    if limit is None:
        return None
    live = gauges.purse.live if gauges.purse else 0
    return Gauge(limit, live, max(limit - live, 0), None)
