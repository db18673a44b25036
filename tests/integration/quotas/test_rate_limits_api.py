"""``GET /api/v1/rate-limits/{userId}``: the buckets as the quota store has them, read without pouring."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.limiter.api import Bucket, Policy, Strategy, shard_of
from apps.orgs.api import assign_tier
from apps.orgs.models import Tier
from apps.providers.api import open_provider
from apps.quotas import purses
from apps.quotas.api import account_id
from tests.integration.quotas import store_side
from tests.integration.quotas.callers import Calls, bound_key, funded, organisation, somebody

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.urls("tests.integration.quotas.token_urls"),
    pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864"),
]


@pytest.fixture(autouse=True)
def _serving_token(settings: Any) -> None:
    settings.SERVICES = ["token"]
    open_provider("openai", "OpenAI", "openai", ())


@pytest.fixture
def owner() -> Calls:
    return somebody()


def _tier(calls: Calls, **limits: Any) -> Tier:
    made = Tier.objects.create(
        name=f"T{uuid4().hex[:8].upper()}", **{"bucket_capacity": 1000, "leak_rate": 1, **limits}
    )
    assign_tier("user", calls.id, made.name)
    return made


def _limits(calls: Calls) -> dict[str, Any]:
    status, body = calls.get(f"rate-limits/{calls.id}")
    assert status == 200, body
    (item,) = [item for item in body["items"] if item["provider"] == "openai"]
    return dict(item)


def test_an_untouched_bucket_is_empty(owner: Calls) -> None:
    tier = _tier(owner)

    assert _limits(owner) == {
        "provider": "openai", "tier": tier.name, "strategy": "LEAKY_BUCKET", "mode": "police",
        "leakMilliTokensPerSecond": 1, "requestsPerMinute": None, "concurrency": None,
        "bucket": {"limit": 1000, "used": 0, "remaining": 1000, "emptyInMs": 0},
    }  # fmt: skip


@pytest.mark.parametrize("strategy", list(Strategy))
def test_what_calls_poured_is_seen_and_looking_pours_nothing(owner: Calls, strategy: Strategy) -> None:
    _tier(owner, strategy=strategy, window_seconds=3600, requests_per_minute=1, concurrency=5)
    policy = Policy(Bucket(1000, 1), strategy, window_ms=3_600_000, requests_per_minute=1, concurrency=5)
    part = store_side.lend(funded("user", owner.id, 10_000), 500)
    hold = store_side.reserve(part, 300, policy)
    during = [_limits(owner) for _ in range(3)]
    store_side.settle(part, hold, 300, 100, policy)
    after = _limits(owner)

    for seen in during:
        assert (seen["bucket"]["used"], seen["bucket"]["remaining"]) == (300, 700)
        assert (seen["requestsPerMinute"]["used"], seen["requestsPerMinute"]["remaining"]) == (1, 0)
        assert 0 < seen["requestsPerMinute"]["emptyInMs"] <= 60_000
        assert seen["concurrency"] == {"limit": 5, "used": 1, "remaining": 4, "emptyInMs": None}
    assert (after["bucket"]["used"], after["concurrency"]["used"]) == (100, 0)


def test_only_ones_own_are_found(owner: Calls) -> None:
    stranger, operator = somebody(), somebody(admin=True)
    org = organisation(owner=owner)

    def answer(calls: Calls, whose: UUID | str) -> tuple[int, Any]:
        status, body = calls.get(f"rate-limits/{whose}")
        return status, body.get("message")

    assert answer(owner, owner.id) == answer(operator, owner.id) == (200, None)
    refused = [answer(stranger, owner.id), answer(stranger, "x"), answer(bound_key(owner, org), owner.id)]
    assert refused == [(404, "not found")] * 3


def test_more_providers_cost_no_more_queries(owner: Calls) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            owner.get(f"rate-limits/{owner.id}")
        return len(seen)

    one = queries()
    for number in range(3):
        open_provider(f"provider-{number}", "Another", "openai", ())
    assert queries() == one


def test_a_store_that_is_away_is_not_an_empty_bucket(owner: Calls, no_store: None) -> None:
    status, body = owner.get(f"rate-limits/{owner.id}")

    assert (status, body["code"]) == (503, "store_unavailable")


@pytest.fixture
def no_store(settings: Any) -> Iterator[None]:
    settings.QUOTA_REDIS_URL = "redis://127.0.0.1:1/0"
    purses.limiter.cache_clear()
    yield
    purses.limiter.cache_clear()


def test_a_bucket_that_nobody_uses_leaves_nothing_behind(owner: Calls) -> None:
    _limits(owner)

    account = account_id("user", owner.id, "openai")
    assert purses.limiter().ask(shard_of(account), "EXISTS", purses.bucket_key(account)) == 0
