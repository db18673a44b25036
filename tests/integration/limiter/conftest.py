"""A client of the test session's quota store, and an account on it."""

from collections.abc import Iterator

import pytest

from apps.limiter.api import LIBRARY, Limiter
from tests.integration.limiter.acting import Acting, connected


@pytest.fixture
def limiter() -> Iterator[Limiter]:
    with connected() as limiter:
        limiter.ask(0, "FUNCTION", "LOAD", "REPLACE", LIBRARY.text)
        yield limiter


@pytest.fixture
def account(limiter: Limiter) -> Iterator[Acting]:
    """In a shard that is empty, and left empty: passes of the sweeper are a shard's, not an account's."""
    acting = Acting(limiter)
    empty(limiter, acting.shard)
    yield acting
    empty(limiter, acting.shard)


def empty(limiter: Limiter, shard: int) -> None:
    """Forget all that a shard has."""
    names = limiter.ask(shard, "KEYS", f"{{q{shard:02d}}}:*")
    assert isinstance(names, list)
    if names:
        limiter.ask(shard, "DEL", *names)
