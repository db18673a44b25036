"""Organisations' pools: raised by administrators, once for each order; and what members used of them."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from apps.audit.api import entries
from apps.core.ids import uuid7
from apps.quotas import orders
from apps.quotas.api import CallFacts, Hold, account_id, check_identities, reserve, settle
from apps.quotas.models import Order, Transfer
from tests.integration.quotas.callers import Calls, funded, organisation, somebody
from tests.integration.quotas.payers import MINUTE_MS, facts, settlement_of

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.urls("tests.integration.quotas.token_urls"),
    pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864"),
]
PATH = "tokens/quota/org"


@pytest.fixture(autouse=True)
def _serving_token(settings: Any) -> None:
    settings.SERVICES = ["token"]
    settings.QUOTA_APPROVAL_TOKENS = 1_000_000


@pytest.fixture
def operator() -> Calls:
    return somebody(admin=True)


@pytest.fixture
def org() -> UUID:
    return organisation()


def _raise(operator: Calls, org: UUID, tokens: int, key: str | None = None, **more: Any) -> tuple[int, Any]:
    body = {"orgId": str(org), "provider": "openai", "totalTokens": tokens, **more}
    return operator.post(PATH, body, **({"Idempotency-Key": key} if key else {}))


def _grants(org: UUID) -> list[int]:
    transfers = Transfer.objects.filter(account_id=account_id("org", org, "openai"), code="GRANT")
    return list(transfers.order_by("at").values_list("amount", flat=True))


def test_a_pool_is_made_and_raised_to_what_is_asked_for(operator: Calls, org: UUID) -> None:
    made, raised, again = (_raise(operator, org, tokens) for tokens in (1000, 1500, 1500))

    assert [(status, body["totalTokens"], body["orgId"]) for status, body in (made, raised, again)] == [
        (201, 1000, str(org)), (201, 1500, str(org)), (200, 1500, str(org))
    ]  # fmt: skip
    assert _grants(org) == [1000, 500]
    assert check_identities(account_id("org", org, "openai")) == []


def test_it_is_never_lowered(operator: Calls, org: UUID) -> None:
    _raise(operator, org, 1000)
    status, body = _raise(operator, org, 999)

    assert (status, body["code"], _grants(org)) == (409, "pool_not_lowered", [1000])


def test_a_key_orders_once_whatever_happened_since(operator: Calls, org: UUID) -> None:
    first = _raise(operator, org, 1000, " the-key ")
    _raise(operator, org, 2000)
    again = _raise(operator, org, 1000, "the-key")

    assert (first[0], again[0], again[1]["totalTokens"]) == (201, 201, 2000)
    assert _grants(org) == [1000, 1000]


@pytest.mark.parametrize(
    "other", [{"totalTokens": 1001}, {"provider": "other"}, {"orgId": None}], ids=["tokens", "provider", "org"]
)
def test_a_key_is_for_one_order_only(operator: Calls, org: UUID, other: dict[str, Any]) -> None:
    _raise(operator, org, 1000, "the-key")
    changed = {"orgId": str(org), "provider": "openai", "totalTokens": 1000} | other
    changed["orgId"] = changed["orgId"] or str(organisation())
    status, body = operator.post(PATH, changed, **{"Idempotency-Key": "the-key"})

    assert (status, body["code"]) == (409, "idempotency_mismatch")
    assert _raise(somebody(admin=True), org, 1000, "the-key")[0] == 200, "everybody's keys are their own"


def test_who_ordered_what_and_why_is_in_the_trail(operator: Calls, org: UUID) -> None:
    _raise(operator, org, 1000, reason="contract 17")

    (entry,) = entries(org, action="pool.raised")
    assert (entry.after, entry.reason) == ({"provider": "openai", "tokens": 1000, "ordered": 1000}, "contract 17")
    (grant,) = Transfer.objects.filter(account_id=account_id("org", org, "openai"))
    assert (grant.reason, Order.objects.get(id=grant.ref).requested_by_id) == ("contract 17", operator.id)


def test_much_needs_a_second_person_and_is_not_ordered_twice(operator: Calls, org: UUID) -> None:
    answers = [_raise(operator, org, 5_000_000)[:2] for _ in range(2)]

    assert answers == [(202, {"orgId": str(org), "provider": "openai", "status": "pending"})] * 2
    assert _grants(org) == []
    (order,) = Order.objects.filter(payer_id=org)
    orders.approve(order.id, somebody(admin=True).id)
    assert _grants(org) == [5_000_000]
    assert _raise(operator, org, 5_000_000)[0] == 200


def test_only_administrators_may(org: UUID) -> None:
    owner = somebody()
    theirs = organisation(owner=owner)

    assert _raise(owner, theirs, 1000)[0] == 403
    assert _grants(theirs) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"totalTokens": 0}, "Ensure this value is greater than or equal to 1."),
        ({"totalTokens": "many"}, "A valid integer is required."),
        ({"provider": ""}, "This field may not be blank."),
        ({"orgId": "1-1-1-1-1"}, "invalid orgId"),
        ({"is_admin": True}, "This is not a field of this request."),
        ({"reason": ""}, "This field may not be blank."),
    ],
)
def test_wrong_orders_are_told(operator: Calls, org: UUID, change: dict[str, Any], message: str) -> None:
    status, body = _raise(operator, org, 1000, **change)

    assert (status, body["message"]) == (400, message)


def test_a_key_has_bounds_and_an_unknown_organisation_no_pool(operator: Calls, org: UUID) -> None:
    assert _raise(operator, org, 1000, "x" * 101)[1]["message"] == "idempotency key too long"
    assert _raise(operator, uuid4(), 1000)[0] == 404


@pytest.fixture
def call() -> Callable[[UUID, Calls, int | None], None]:
    """A call of a member's that an organisation pays for: 100 held, so many charged; None: it goes on."""

    def made(account: UUID, member: Calls, charged: int | None) -> None:
        known = facts()
        hold = Hold(uuid7(), account, 100, CallFacts(**{**_fields(known), "user_id": member.id}))
        reserve(hold, ttl_ms=MINUTE_MS)
        if charged is not None:
            settle(settlement_of(hold, charged))

    return made


def _fields(known: CallFacts) -> dict[str, Any]:
    return {name: getattr(known, name) for name in CallFacts.__dataclass_fields__}


def test_pools_show_what_each_member_used(call: Callable[[UUID, Calls, int | None], None]) -> None:
    owner, member, stranger = somebody(), somebody(), somebody()
    org = organisation(owner=owner, member=member)
    account, idle = funded("org", org, 1000), funded("org", org, 7, provider="other")
    for who, charged in ((owner, 5), (member, 42), (member, 8), (member, None)):
        call(account, who, charged)

    def used(calls: Calls) -> tuple[int, Any]:
        status, body = calls.get("tokens/quota/org/pools", orgId=org)
        if status != 200:
            return status, body["message"]
        return status, {item["provider"]: item["members"] for item in body["items"]}

    of_member = {"userId": str(member.id), "calls": 3, "chargedTokens": 50, "heldTokens": 100}
    of_owner = {"userId": str(owner.id), "calls": 1, "chargedTokens": 5, "heldTokens": 0}
    assert used(owner) == (200, {"openai": [of_member, of_owner], "other": []})
    assert used(member) == (200, {"openai": [of_member], "other": []})
    assert used(stranger) == (404, "quota not found")
    assert idle != account
    assert owner.get("tokens/quota/org/pools", orgId=org, since="2999-01-01T00:00:00Z")[1]["items"][0]["members"] == []
