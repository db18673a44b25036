"""Windows, and the budgets that a call is counted against beside its payer's account."""

from datetime import UTC, date, datetime, timedelta, timezone
from uuid import UUID

import pytest

from apps.orgs.domain import DAY, MONTH, WEEK, MemberLimit, Principal, budgets_of, window_start

USER, ORG = UUID(int=1), UUID(int=2)
NOW = datetime(2026, 11, 28, 23, 59, 59, tzinfo=UTC)  # a Saturday


def _principal(budget: int | None = None, *limits: MemberLimit) -> Principal:
    return Principal(
        "key0000001", USER, "org", ORG, ORG, "USER", None, None,
        budget=budget, budget_id="key0000000", member_limits=limits,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("window", "now", "start"),
    [
        (DAY, NOW, date(2026, 11, 28)),
        (WEEK, NOW, date(2026, 11, 23)),
        (MONTH, NOW, date(2026, 11, 1)),
        (WEEK, datetime(2026, 11, 23, tzinfo=UTC), date(2026, 11, 23)),
        (WEEK, datetime(2027, 1, 1, tzinfo=UTC), date(2026, 12, 28)),
        (MONTH, NOW + timedelta(days=3), date(2026, 12, 1)),
        (DAY, datetime(2026, 11, 29, 1, tzinfo=timezone(timedelta(hours=2))), date(2026, 11, 28)),
    ],
)
def test_windows_begin_at_midnight_utc(window: str, now: datetime, start: date) -> None:
    assert window_start(window, now) == start


def test_a_call_without_limits_has_no_budgets() -> None:
    assert budgets_of(_principal(), "openai", NOW) == ()


def test_a_keys_budget_keeps_the_id_that_its_predecessors_counted_under() -> None:
    assert budgets_of(_principal(500), "openai", NOW) == (("key0000000", 500),)


def test_a_members_limits_count_for_their_provider_and_window_only() -> None:
    limits = (MemberLimit(None, MONTH, 900), MemberLimit("gemini", DAY, 30), MemberLimit("openai", WEEK, 70))
    caller = _principal(500, *limits)
    everything, here = f"member:{ORG}:{USER}:*:2026-11-01", f"member:{ORG}:{USER}:openai:2026-11-23"
    assert budgets_of(caller, "openai", NOW) == (("key0000000", 500), (everything, 900), (here, 70))
    assert budgets_of(caller, "qwen", NOW) == (("key0000000", 500), (everything, 900))
    following = dict(budgets_of(caller, "openai", NOW + timedelta(days=3)))
    assert f"member:{ORG}:{USER}:*:2026-12-01" in following, "the next month counts anew"
    assert f"member:{ORG}:{USER}:openai:2026-11-30" in following
