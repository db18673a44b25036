"""Windows of allowances: when they begin and end."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.quotas.allowances import allowance_id, reset_time, window_start


@pytest.mark.parametrize(
    ("window", "now", "start", "end"),
    [
        ("day", "2026-11-28T17:00", "2026-11-28", "2026-11-29"),
        ("day", "2026-12-31T23:59", "2026-12-31", "2027-01-01"),
        ("week", "2026-11-28T17:00", "2026-11-23", "2026-11-30"),
        ("week", "2026-11-30T00:00", "2026-11-30", "2026-12-07"),
        ("month", "2026-11-28T17:00", "2026-11-01", "2026-12-01"),
        ("month", "2026-12-31T23:59", "2026-12-01", "2027-01-01"),
        ("month", "2028-02-29T12:00", "2028-02-01", "2028-03-01"),
    ],
)
def test_windows(window: str, now: str, start: str, end: str) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert window_start(window, at) == datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert reset_time(window, at) == datetime.fromisoformat(end).replace(tzinfo=UTC)


@given(at=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), window=st.sampled_from(["day", "week", "month"]))  # noqa: DTZ001
def test_a_moment_lies_in_its_window_and_the_next_begins_at_its_end(at: datetime, window: str) -> None:
    now = at.replace(tzinfo=UTC)
    start, end = window_start(window, now), reset_time(window, now)
    assert start <= now < end
    assert window_start(window, end) == end


def test_windows_are_utc_whatever_the_zone() -> None:
    here = datetime(2026, 11, 29, 1, 0, tzinfo=timezone(timedelta(hours=2)))
    assert window_start("day", here) == datetime(2026, 11, 28, tzinfo=UTC)


def test_ids_differ_by_tier_window_and_start() -> None:
    account, start = UUID(int=1), datetime(2026, 11, 1, tzinfo=UTC)
    ids = {allowance_id(account, tier, window, start) for tier in ("A", "B") for window in ("day", "month")}
    assert len(ids) == 4
    assert allowance_id(account, "A", "day", start) in ids


def test_no_such_window() -> None:
    with pytest.raises(ValueError, match="no such window"):
        window_start("year", datetime.now(UTC))
