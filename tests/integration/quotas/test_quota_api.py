"""``/api/v1/tokens/quota`` and its relatives: right to the token while calls go on, and only for whom it concerns."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Role, User
from apps.limiter.api import shard_of
from apps.orgs.api import assign_tier
from apps.orgs.models import Allowance, Tier
from apps.quotas import api as quotas
from apps.quotas import purses
from apps.quotas.allowances import reset_time
from tests.integration.quotas import store_side
from tests.integration.quotas.callers import Calls, bound_key, funded, organisation, somebody
from tests.integration.quotas.needs import leased
from tests.integration.quotas.payers import MINUTE_MS, hold_of, settlement_of

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.urls("tests.integration.quotas.token_urls"),
    pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864"),
]


@pytest.fixture(autouse=True)
def _serving_token(settings: Any) -> None:
    settings.SERVICES = ["token"]


@pytest.fixture
def owner() -> Calls:
    return somebody()


def _own(calls: Calls, provider: str = "openai") -> dict[str, Any]:
    status, body = calls.get("tokens/quota", userId=calls.id, provider=provider)
    assert status == 200, body
    return dict(body)


def test_the_service_answers(owner: Calls) -> None:
    status, body = owner.get("tokens/status")

    assert (status, body["service"], body["status"]) == (200, "token-service", "ok")
    assert body["timestamp"].endswith("Z")


def test_the_contracts_fields_are_there(owner: Calls) -> None:
    funded("user", owner.id, 1000)
    body = _own(owner)

    assert (body["userId"], body["provider"]) == (str(owner.id), "openai")
    assert (body["totalTokens"], body["remainingTokens"], body["resetTime"]) == (1000, 1000, None)
    assert datetime.fromisoformat(body["updatedAt"]).tzinfo is not None


def test_row_locked_holds_are_not_remaining(owner: Calls) -> None:
    account = funded("user", owner.id, 1000)
    hold = hold_of(account, 100)
    quotas.reserve(hold, ttl_ms=MINUTE_MS)
    during = _own(owner)
    quotas.settle(settlement_of(hold, 42))
    after = _own(owner)

    assert (during["totalTokens"], during["remainingTokens"], during["heldTokens"]) == (1000, 900, 100)
    assert (after["totalTokens"], after["remainingTokens"], after["spentTokens"]) == (1000, 958, 42)


def test_a_call_under_way_in_the_quota_store_shows_at_once(owner: Calls) -> None:
    account = funded("user", owner.id, 1000)
    part = store_side.lend(account, 50)
    lent = _own(owner)
    hold = store_side.reserve(part, 30)
    during = _own(owner)
    store_side.settle(part, hold, 30, 12)
    after = _own(owner)

    assert (lent["remainingTokens"], lent["leasedTokens"]) == (1000, part.amount)
    assert (during["remainingTokens"], during["heldTokens"], during["callsUnderWay"]) == (970, 30, 1)
    assert (after["remainingTokens"], after["heldTokens"], after["spentTokens"]) == (988, 0, 12)
    assert {body["totalTokens"] for body in (lent, during, after)} == {1000}


def test_a_part_that_is_still_on_its_way_is_remaining(owner: Calls) -> None:
    account = funded("user", owner.id, 1000)
    leased(account, 50, run_id="somewhere")

    assert _own(owner)["remainingTokens"] == 1000


def test_tokens_of_a_lost_purse_are_in_doubt(owner: Calls) -> None:
    account = funded("user", owner.id, 1000)
    part = store_side.lend(account, 50)
    purses.limiter().ask(shard_of(account), "DEL", purses.purse_key(account))
    leased(account, 50, run_id="somewhere", seen_epoch=part.epoch)
    body = _own(owner)

    assert (body["inDoubtTokens"], body["remainingTokens"]) == (part.amount, 1000 - part.amount)


def test_without_the_quota_store_what_is_lent_counts_as_remaining(owner: Calls, settings: Any, no_store: None) -> None:
    account = funded("user", owner.id, 1000)
    leased(account, 50, run_id="somewhere")

    assert _own(owner)["remainingTokens"] == 1000


@pytest.fixture
def no_store(settings: Any) -> Any:
    settings.QUOTA_REDIS_URL = "redis://127.0.0.1:1/0"
    purses.limiter.cache_clear()
    yield
    purses.limiter.cache_clear()


@pytest.fixture
def tier() -> Tier:
    made = Tier.objects.create(name=f"T{uuid4().hex[:8].upper()}", bucket_capacity=1000, leak_rate=1000, quota_cap=300)
    Allowance.objects.create(tier=made, provider="openai", window="day", tokens=200)
    return made


def test_an_allowance_is_there_before_its_first_call_and_says_when_it_comes_again(owner: Calls, tier: Tier) -> None:
    assign_tier("user", owner.id, tier.name)
    before = _own(owner)
    funded("user", owner.id, 1000)
    both = _own(owner)

    assert (before["totalTokens"], before["remainingTokens"], before["updatedAt"]) == (200, 200, None)
    resets = reset_time("day", datetime.fromisoformat(both["updatedAt"]))
    assert datetime.fromisoformat(before["resetTime"]) == resets
    assert (both["totalTokens"], both["remainingTokens"], both["cap"]) == (1200, 300, 300)
    assert both["allowance"] == {"totalTokens": 200, "remainingTokens": 200}
    assert both["purchased"] == {"totalTokens": 1000, "remainingTokens": 1000}


def test_an_allowance_that_was_fetched_is_counted_once_and_spent_first(owner: Calls, tier: Tier) -> None:
    assign_tier("user", owner.id, tier.name)
    account = funded("user", owner.id, 1000)
    part = store_side.lend(account, 50, tier=tier.name, allowances=(("openai", "day", 200),), quota_cap=300)
    store_side.settle(part, store_side.reserve(part, 30), 30, 30)
    body = _own(owner)

    assert (body["totalTokens"], body["capRemaining"], body["remainingTokens"]) == (1200, 270, 270)
    assert body["allowance"] == {"totalTokens": 200, "remainingTokens": 170}
    assert body["purchased"] == {"totalTokens": 1000, "remainingTokens": 1000}


def test_whose_it_may_be(owner: Calls) -> None:
    member, stranger, operator = somebody(), somebody(), somebody(admin=True)
    org = organisation(owner=owner, member=member)
    funded("org", org, 5)
    funded("user", owner.id, 7)

    def answer(calls: Calls, path: str, **query: Any) -> tuple[int, Any]:
        status, body = calls.get(path, **query)
        return status, body.get("remainingTokens", body.get("message"))

    def of_user(calls: Calls) -> tuple[int, Any]:
        return answer(calls, "tokens/quota", userId=owner.id, provider="openai")

    def of_org(calls: Calls, org_id: UUID = org) -> tuple[int, Any]:
        return answer(calls, "tokens/quota/org", orgId=org_id, provider="openai")

    assert of_user(owner) == of_user(operator) == (200, 7)
    assert of_user(member) == of_user(bound_key(owner, org)) == (403, "These tokens are not yours to see.")
    assert of_org(owner) == of_org(member) == of_org(operator) == of_org(bound_key(owner, org)) == (200, 5)
    assert of_org(stranger) == of_org(stranger, uuid4()) == (404, "quota not found")
    assert answer(owner, "providers/openai/quota") == (200, 7)
    assert answer(bound_key(owner, org), "providers/openai/quota") == (200, 5)
    assert answer(member, "providers/openai/quota", orgId=org) == (200, 5)
    assert answer(member, "providers/openai/quota") == (404, "quota not found")


@pytest.mark.parametrize("path", ["tokens/quota", "tokens/quota/org"])
def test_wrong_parameters_are_told_in_the_contracts_words(owner: Calls, path: str) -> None:
    name, own = ("userId", owner.id) if path == "tokens/quota" else ("orgId", organisation(owner=owner))

    def told(**query: Any) -> tuple[int, Any]:
        status, body = owner.get(path, **query)
        assert set(body) >= {"message", "timestamp", "status", "path", "correlationId"}
        return status, body["message"]

    assert told(provider="openai") == told(provider="openai", **{name: " "}) == (400, f"{name} is required")
    assert told(**{name: own}) == told(provider=" ", **{name: own}) == (400, "provider is required")
    for wrong in ("x", "1-1-1-1-1", f"{{{own}}}"):
        assert told(provider="openai", **{name: wrong}) == (400, f"invalid {name}")
    assert told(provider="openai", **{name: own}) == (404, "quota not found")
    assert told(provider="openai", other="ignored", **{name: str(own).upper()}) == (404, "quota not found")


def test_all_quotas_of_a_payer_are_listed_by_provider_page_by_page(owner: Calls) -> None:
    for number, provider in enumerate(("qwen", "gemini", "openai")):
        funded("user", owner.id, 10 + number, provider=provider)
    _status, first = owner.get("tokens/quotas", limit=2)
    _status, rest = owner.get("tokens/quotas", limit=2, cursor=first["next"])

    listed = [(item["provider"], item["totalTokens"]) for item in (*first["items"], *rest["items"])]
    assert listed == [("gemini", 11), ("openai", 12), ("qwen", 10)]
    assert rest["next"] is None
    assert owner.get("tokens/quotas", cursor="forged")[0] == owner.get("tokens/quotas", limit="-1")[0] == 400


def test_a_list_costs_as_many_queries_as_one_quota(owner: Calls) -> None:
    funded("user", owner.id, 10)

    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            owner.get("tokens/quotas")
        return len(seen)

    one = queries()
    for provider in ("a", "b", "c"):
        funded("user", owner.id, 10, provider=provider)
    assert queries() == one <= 6


def test_an_adminstrators_look_at_another_user_finds_the_tier_of_that_users_roles(tier: Tier) -> None:
    owner, operator = somebody(), somebody(admin=True)
    role = Role.objects.create(name=tier.name)
    User.objects.get(pk=owner.id).roles.add(role)
    status, body = operator.get("tokens/quota", userId=owner.id, provider="openai")

    assert (status, body["totalTokens"]) == (200, 200)
