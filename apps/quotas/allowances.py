"""Windows of recurring allowances, in UTC: when they begin, when they are over, and the ids of their grants. Pure."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

DAY, WEEK, MONTH = "day", "week", "month"
DAYS_IN_WEEK = 7
_PAST_ANY_MONTH = timedelta(days=32)


def window_start(window: str, now: datetime) -> datetime:
    """When the window that ``now`` lies in began: at midnight, of the day, of its Monday, or of the first of its month.

    Raises:
        ValueError: there is no such window.
    """
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if window == DAY:
        return midnight
    if window == WEEK:
        return midnight - timedelta(days=midnight.weekday())
    if window == MONTH:
        return midnight.replace(day=1)
    raise ValueError(f"no such window: {window!r}")


def reset_time(window: str, now: datetime) -> datetime:
    """When that window is over and the allowance comes again."""
    start = window_start(window, now)
    if window == MONTH:
        return (start + _PAST_ANY_MONTH).replace(day=1)
    return start + timedelta(days=1 if window == DAY else DAYS_IN_WEEK)


def allowance_id(account: UUID, tier: str, window: str, start: datetime) -> UUID:
    """The id of a window's grant: derived, so that nobody is given an allowance twice."""
    return uuid5(account, f"allowance:{tier}:{window}:{start.isoformat()}")
