"""Seeds again on the shipped Lua: what the simulator saw of its Twin is what a real Valkey does."""

import os
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis

from simulator import replay
from simulator.run import make, play
from simulator.simulation import profile_of

SEEDS = range(1, 26)
DATABASE = 11
"""One that nobody else uses: all of its keys are compared."""


@pytest.fixture
def valkey() -> Iterator[redis.Redis]:
    url = urlunsplit(urlsplit(os.environ["QUOTA_REDIS_URL"])._replace(path=f"/{DATABASE}"))
    with redis.Redis.from_url(url) as client:
        replay.load(client)
        yield client
        client.flushdb()


@pytest.mark.timeout(600)
def test_a_real_valkey_ends_where_the_twin_did(valkey: redis.Redis) -> None:
    calls = 0
    for seed in SEEDS:
        simulation = make(seed, profile_of(seed))
        play(simulation)
        differing = list(replay.differences(simulation, valkey))
        assert not differing, f"seed {seed}: {differing[:3]}"
        calls += replay.calls_of(simulation)
    assert calls > 10_000
