"""The story of a request: every kind of ending and limit has its words."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from apps.quotas.explanations import SOURCES, WHY, Admitted, Limit, Refusal, told_admitted, told_refused

AT = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
USAGE = {"input": 1000, "cached_input": 4, "output": 16, "reasoning": 2}


def _refusal(limit: Limit | None, **more: str) -> list[str]:
    known = {"provider": "openai", "model": "m", "message": "", **more}
    refusal = Refusal("req_1", AT, "user", UUID(int=1), key_id="k", status=429, code="no", limit=limit, **known)
    return told_refused(refusal, "the user x")


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (Limit("bucket", 1000, 950, None, 100, 5000, None), "it would have passed 5,000 ms later."),
        (Limit("bucket", 1000, 950, None, 100, 5000, AT), "it would have passed at 2026-11-28 12:00:00.000 UTC."),
        (Limit("quota", 1000, 900, 50, 100, None, None), "Waiting alone would not have let it pass."),
        (Limit("quota", 1000, 900, 50, 100, None, None), "900 were used, 50 were held by calls under way, the call"),
        (Limit("requests_per_minute", 60, None, None, None, 1, None), "The limit was requests per minute: 60."),
        (Limit("unknown", None, None, None, None, None, None), "The limit was unknown."),
    ],
)
def test_a_limit_is_told_with_what_it_has(limit: Limit, words: str) -> None:
    assert words in " ".join(_refusal(limit))


def test_a_refusal_without_a_limit_names_none() -> None:
    assert _refusal(None, model="") == [
        "2026-11-28 12:00:00.000 UTC: a call at openai for the user x was refused with 429 no.",
        "Nothing was held or charged for it.",
    ]


def _admitted(state: str = "settled", outcome: str | None = "completed", source: str = "provider", **more: int) -> str:
    amounts = {"held": 100, "charged": 42, "absorbed": 0, **more}
    ending = None if outcome is None else {"outcome": outcome, "usage_source": source, "usage": USAGE}
    held, charged, absorbed = amounts.values()
    call = Admitted(AT, "the user x", "openai", "m", state, held, charged, absorbed, AT,
                    "r", ending, 13 if ending else None, "USD", ())  # fmt: skip
    return " ".join(told_admitted(call))


@pytest.mark.parametrize("outcome", WHY)
@pytest.mark.parametrize("source", SOURCES)
def test_every_outcome_and_source_has_words(outcome: str, source: str) -> None:
    said = _admitted(outcome=outcome, source=source)

    assert WHY[outcome] in said
    assert SOURCES[source] in said


def test_a_call_under_way_has_not_ended() -> None:
    said = _admitted("held", None)

    assert said.endswith("It has not ended yet.")


def test_amounts_are_told_as_they_are() -> None:
    assert "42 tokens were charged and 58 given back." in _admitted()
    assert "Nothing was charged and 100 given back." in _admitted(charged=0)
    assert "120 tokens were charged." in _admitted(charged=120)
    assert "7 more tokens were used than the account could pay: the house bore them." in _admitted(absorbed=7)
    assert "Used: 1,000 tokens in (4 cached), 16 out, as the provider reported it." in _admitted()
    assert "13 millionths of a USD" in _admitted()


def test_an_outcome_without_words_is_told_by_its_name() -> None:
    assert "because eaten." in _admitted(outcome="eaten")
