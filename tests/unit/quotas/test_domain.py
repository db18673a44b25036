"""The ledger's arithmetic, by property."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from apps.core.units import Usage, Weights
from apps.quotas import usage
from apps.quotas.domain import (
    CallFacts,
    Settlement,
    account_id,
    correct,
    entries_of_correction,
    entries_of_end,
    expiry,
    facts_from_json,
    facts_to_json,
    split,
)

TOKENS = st.integers(0, 10**6)


def test_an_account_has_one_id_wherever_it_is_derived() -> None:
    payer = UUID("018f3f6e-0000-7000-8000-000000000001")

    assert account_id("user", payer, "openai") == UUID("72164b7f-5cac-50a4-bb6a-dbc5491f0b4e")
    assert account_id("user", payer, "openai") != account_id("org", payer, "openai")
    assert account_id("user", payer, "openai") != account_id("user", payer, "qwen")


@given(tokens=TOKENS, held=TOKENS, available=TOKENS)
def test_a_split_loses_no_token(tokens: int, held: int, available: int) -> None:
    parts = split(tokens=tokens, held=held, available=available)

    assert parts.from_hold + parts.from_available + parts.absorbed == tokens
    assert parts.from_hold + parts.back == held
    assert parts.from_available <= available
    assert min(parts.from_hold, parts.back, parts.from_available, parts.absorbed) >= 0
    assert parts.absorbed == max(tokens - held - available, 0)


@given(tokens=TOKENS, charged=TOKENS, absorbed=TOKENS, available=TOKENS)
def test_a_correction_ends_at_the_cost_and_takes_no_more_than_there_is(
    tokens: int, charged: int, absorbed: int, available: int
) -> None:
    change = correct(tokens=tokens, charged=charged, absorbed=absorbed, available=available)

    assert charged + change.charged + absorbed + change.absorbed == tokens
    assert 0 <= charged + change.charged <= charged + available
    assert absorbed + change.absorbed >= 0


@given(tokens=TOKENS, charged=TOKENS, absorbed=st.integers(1, 10**6), available=TOKENS)
def test_the_house_is_relieved_before_the_account(tokens: int, charged: int, absorbed: int, available: int) -> None:
    change = correct(tokens=tokens, charged=charged, absorbed=absorbed, available=available)

    if change.charged < 0:
        assert absorbed + change.absorbed == 0


@given(tokens=TOKENS, held=TOKENS, available=TOKENS)
def test_the_entries_of_an_end_move_what_was_split(tokens: int, held: int, available: int) -> None:
    entries = entries_of_end(split(tokens=tokens, held=held, available=available))

    assert all(entry.amount > 0 for entry in entries)
    assert len({entry.code for entry in entries}) == len(entries)
    assert sum(entry.amount for entry in entries if entry.debit == "held") == held
    assert sum(entry.amount for entry in entries if entry.credit in {"spent", "absorbed"}) == tokens


@given(charged=TOKENS, absorbed=TOKENS, tokens=TOKENS)
def test_the_entries_of_a_correction_go_either_way(charged: int, absorbed: int, tokens: int) -> None:
    entries = entries_of_correction(correct(tokens=tokens, charged=charged, absorbed=absorbed, available=10**7))

    moved = sum(entry.amount * (1 if entry.credit in {"spent", "absorbed"} else -1) for entry in entries)
    assert moved == tokens - charged - absorbed
    assert all(entry.amount > 0 for entry in entries)


def facts(org_id: UUID | None) -> CallFacts:
    return CallFacts(
        request_id="req_1",
        payer_kind="user",
        payer_id=UUID(int=1),
        org_id=org_id,
        user_id=UUID(int=3),
        key_id="k1",
        provider="openai",
        model="gpt-4o-mini",
        endpoint="/v1/chat/completions",
        streamed=False,
        traceparent="00-1-2-01",
        price_id="p1",
        weights=Weights(1000, 500, 4000),
        input_price=150_000,
        cached_input_price=75_000,
        output_price=600_000,
        currency="USD",
    )


def test_facts_survive_their_way_through_the_database() -> None:
    for org_id in (None, uuid4()):
        assert facts_from_json(facts_to_json(facts(org_id))) == facts(org_id)


def test_money_is_rounded_up_once_per_call() -> None:
    call = facts(None)

    assert usage.cost_micro(Usage(input=20, cached_input=4, output=16), call) == 13  # 2.4 + 0.3 + 9.6 = 12.3
    assert usage.cost_micro(Usage(input=1), call) == 1
    assert usage.cost_micro(Usage(), call) == 0
    assert usage.cost_micro(Usage(input=1_000_000), call) == 150_000


def test_the_event_says_everything_of_a_call() -> None:
    hold, account, at = UUID(int=7), UUID(int=8), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    ended = Settlement(
        hold, account, 82, Usage(20, 4, 16, 2), "client_closed", "counted", 200, 812, 230, finished_by="gateway"
    )

    data = usage.data_of(facts(UUID(int=2)), ended, usage.Charge(80, 100, 2), corrects=False, occurred_at=at)

    assert data == {
        "account_id": str(account),
        "payer_kind": "user",
        "payer_id": str(UUID(int=1)),
        "org_id": str(UUID(int=2)),
        "user_id": str(UUID(int=3)),
        "key_id": "k1",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "endpoint": "/v1/chat/completions",
        "streamed": False,
        "allowed": True,
        "tokens": {"input": 20, "cached_input": 4, "output": 16, "reasoning": 2},
        "charged": 80,
        "held": 100,
        "absorbed": 2,
        "price": {
            "id": "p1",
            "currency": "USD",
            "input": 150_000,
            "cached_input": 75_000,
            "output": 600_000,
            "input_weight": 1000,
            "cached_input_weight": 500,
            "output_weight": 4000,
        },
        "cost_micro": 13,
        "outcome": "client_closed",
        "usage_source": "counted",
        "status": 200,
        "latency_ms": 812,
        "first_byte_ms": 230,
        "finished_by": "gateway",
        "request_id": "req_1",
        "reservation_id": str(hold),
        "corrects": None,
        "occurred_at": "2026-01-02T03:04:05+00:00",
    }


def test_a_correction_has_an_event_of_its_own() -> None:
    hold = uuid4()

    assert usage.event_id(hold, corrects=False) == hold
    assert usage.event_id(hold, corrects=True) == usage.event_id(hold, corrects=True) != hold


def test_an_expiry_charges_the_progress_and_says_where_it_is_from() -> None:
    silent = expiry(hold=UUID(int=7), account=UUID(int=8), progress=0, latency_ms=60_000)
    heard = expiry(hold=UUID(int=7), account=UUID(int=8), progress=12, latency_ms=60_000)

    assert (silent.tokens, silent.usage_source, silent.outcome) == (0, "none", "expired")
    assert (heard.tokens, heard.usage_source, heard.finished_by) == (12, "counted", "sweeper")
