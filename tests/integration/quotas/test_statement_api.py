"""``GET /api/v1/tokens/statement``: every movement once, with the balance after it, whatever the page size."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.quotas.api import reserve, settle
from apps.quotas.models import Transfer
from apps.quotas.statement import COLUMNS
from tests.integration.quotas.callers import Calls, bound_key, funded, organisation, somebody
from tests.integration.quotas.payers import MINUTE_MS, hold_of, settlement_of

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.urls("tests.integration.quotas.token_urls"),
    pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864"),
]
PATH = "tokens/statement"


@pytest.fixture(autouse=True)
def _serving_token(settings: Any) -> None:
    settings.SERVICES = ["token"]


@pytest.fixture
def owner() -> Calls:
    return somebody()


@pytest.fixture
def account(owner: Calls) -> UUID:
    """A grant of 10,000 and five calls that cost 1 to 5 of the 100 tokens that each held."""
    made = funded("user", owner.id, 10_000)
    for cost in range(1, 6):
        hold = hold_of(made, 100)
        reserve(hold, ttl_ms=MINUTE_MS)
        settle(settlement_of(hold, cost))
    return made


def test_all_pages_together_are_every_transfer_with_its_running_balance(owner: Calls, account: UUID) -> None:
    items: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        status, body = owner.get(PATH, provider="openai", limit=4, **cursor)
        assert status == 200
        items += body["items"]
        if body["next"] is None:
            break
        cursor = {"cursor": body["next"]}

    written = Transfer.objects.filter(account_id=account).order_by("-at", "id")
    assert [item["id"] for item in items] == [str(transfer.id) for transfer in written]
    balance = 0
    for item in reversed(items):
        balance += item["change"]
        assert item["balance"] == balance
    assert (items[0]["balance"], items[-1]["change"]) == (10_000 - 15, 10_000)


def test_a_page_costs_the_same_number_of_queries_however_long_it_is(owner: Calls, account: UUID) -> None:
    def queries(limit: int) -> int:
        with CaptureQueriesContext(
            connection,
        ) as seen:
            assert owner.get(PATH, provider="openai", limit=limit)[0] == 200
        return len(seen)

    assert queries(1) == queries(16) == 2


def test_balances_at_a_past_moment_are_the_sums_of_the_transfers_until_then(owner: Calls, account: UUID) -> None:
    for moment in Transfer.objects.filter(account_id=account).values_list("at", flat=True):
        status, body = owner.get(PATH, provider="openai", at=moment)

        expected = dict.fromkeys(COLUMNS, 0)
        for transfer in Transfer.objects.filter(account_id=account, at__lte=moment):
            expected[transfer.credit] += transfer.amount
            if transfer.debit == "issuer":
                expected["granted"] += transfer.amount
            else:
                expected[transfer.debit] -= transfer.amount
        assert status == 200
        assert body["balances"] == expected
        assert (body["items"], body["next"]) == ([], None)


def test_before_the_first_transfer_there_was_nothing(owner: Calls, account: UUID) -> None:
    status, body = owner.get(PATH, provider="openai", at=datetime(2020, 1, 1, tzinfo=UTC))

    assert (status, body["balance"], set(body["balances"].values())) == (200, 0, {0})


def test_a_range_ends_and_begins_where_it_says(owner: Calls, account: UUID) -> None:
    moments = list(Transfer.objects.filter(account_id=account).order_by("at").values_list("at", flat=True))
    _status, body = owner.get(PATH, provider="openai", from_=moments[1], to=moments[3], limit=2)
    _status, rest = owner.get(PATH, provider="openai", from_=moments[1], to=moments[3], limit=2, cursor=body["next"])

    seen = [item["at"] for item in (*body["items"], *rest["items"])]
    assert seen == [moment.isoformat().replace("+00:00", "Z") for moment in reversed(moments[1:4])]
    assert rest["next"] is None
    _status, at_end = owner.get(PATH, provider="openai", at=moments[3])
    assert body["balances"] == at_end["balances"]


def test_what_comes_in_between_two_pages_moves_nothing(owner: Calls, account: UUID) -> None:
    _status, whole = owner.get(PATH, provider="openai", limit=200)
    _status, first = owner.get(PATH, provider="openai", limit=5)
    funded("user", owner.id, 500)
    _status, second = owner.get(PATH, provider="openai", limit=200, cursor=first["next"])

    assert [*first["items"], *second["items"]] == whole["items"]


def test_whose_it_may_be() -> None:
    owner, member, stranger, operator = somebody(), somebody(), somebody(), somebody(admin=True)
    org = organisation(owner=owner, member=member)
    funded("org", org, 5)
    funded("user", owner.id, 7)

    def balance(calls: Calls, **whose: Any) -> tuple[int, Any]:
        status, body = calls.get(PATH, provider="openai", **whose)
        return status, body.get("balance", body.get("message"))

    assert balance(owner) == balance(owner, userId=owner.id) == balance(operator, userId=owner.id) == (200, 7)
    assert balance(member, orgId=org) == balance(operator, orgId=org) == (200, 5)
    assert balance(bound_key(owner, org)) == (200, 5)
    assert balance(bound_key(owner, org), userId=owner.id) == (403, "These tokens are not yours to see.")
    assert balance(member, userId=owner.id) == (403, "These tokens are not yours to see.")
    assert balance(stranger, orgId=org) == balance(stranger, orgId=uuid4()) == (404, "quota not found")
    assert balance(member) == (404, "quota not found")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({}, "provider is required"),
        ({"provider": "  "}, "provider is required"),
        ({"provider": "openai", "userId": "1-1-1-1-1"}, "invalid userId"),
        ({"provider": "openai", "orgId": "nobody"}, "invalid orgId"),
        ({"provider": "openai", "userId": "x", "orgId": "y"}, "name either userId or orgId"),
        ({"provider": "openai", "limit": 201}, "limit must be a number from 1 to 200"),
        ({"provider": "openai", "cursor": "forged"}, "cursor must be the value of next in an earlier answer"),
        ({"provider": "openai", "from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
         "from must not be later than to"),
        ({"provider": "openai", "at": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "at stands alone"),
        ({"provider": "openai", "format": "xml"}, '"xml" is not a valid choice.'),
        ({"provider": "openai", "other": 1}, "This is not a field of this request."),
    ],
)  # fmt: skip
def test_wrong_parameters_are_told(owner: Calls, account: UUID, query: dict[str, Any], message: str) -> None:
    status, body = owner.get(PATH, **query)

    assert (status, body["message"]) == (400, message)


def test_the_future_is_not_known(owner: Calls, account: UUID) -> None:
    status, body = owner.get(PATH, provider="openai", at=datetime.now(UTC) + timedelta(minutes=1))

    assert (status, body["message"]) == (400, "at must not be in the future")


def test_a_cursor_is_good_for_its_account_only(owner: Calls, account: UUID) -> None:
    _status, body = owner.get(PATH, provider="openai", limit=1)
    funded("user", owner.id, 1, provider="other")

    assert owner.get(PATH, provider="other", cursor=body["next"])[0] == 400
