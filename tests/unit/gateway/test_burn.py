"""What a lease should hold: what the account used in the last minute, for as long as the lease is to last."""

import pytest

from gateway.lease_supply import Burn


def used(*moments: tuple[float, int]) -> Burn:
    """An account's use: so many tokens at so many seconds."""
    burn = Burn(0.0)
    for now, tokens in moments:
        burn.add(tokens, now)
    return burn


@pytest.mark.parametrize(
    ("moments", "now", "tokens"),
    [
        ([], 0.0, 0),
        ([(0.0, 100)], 1.0, 1000),
        ([(float(second), 10) for second in range(120)], 119.9, 6000),
        ([(0.0, 600), (60.0, 0)], 75.0, 4500),
        ([(0.0, 600), (60.0, 0)], 119.0, 100),
        ([(0.0, 600)], 180.0, 0),
    ],
    ids=["nothing", "just begun", "even", "a quarter is over", "nearly over", "long ago"],
)
def test_ten_minutes_at_the_rate_of_the_last_one(moments: list[tuple[float, int]], now: float, tokens: int) -> None:
    assert used(*moments).expected(600, now) == pytest.approx(tokens, rel=0.01)
