"""The library in a real Valkey and its twin are one and the same: reply by reply, and key by key in the end."""

import os
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis

from apps.limiter.api import LIBRARY, RefusalKind
from apps.limiter.twin import dump_of
from tests.integration.limiter.walks import Walk, repeat

SEEDS, STEPS = 20, 1_000
DATABASE = 9
"""One that nobody else uses: the walk compares all of its keys."""


@pytest.fixture
def valkey() -> Iterator[redis.Redis]:
    url = urlunsplit(urlsplit(os.environ["QUOTA_REDIS_URL"])._replace(path=f"/{DATABASE}"))
    with redis.Redis.from_url(url) as client:
        client.function_load(LIBRARY.text, replace=True)
        client.flushdb()
        yield client
        client.flushdb()


def test_the_library_and_its_twin_agree(valkey: redis.Redis) -> None:
    words: Counter[str] = Counter()
    for seed in range(SEEDS):
        valkey.flushdb()
        walk = Walk(seed)
        walk.go(STEPS)
        for number, (step, reply) in enumerate(zip(walk.steps, repeat(walk, valkey), strict=True)):
            assert reply == step.reply, f"seed {seed}, step {number}: {step}"
        assert dump_of(valkey) == walk.twin.dump(), f"seed {seed}"
        words += walk.words
    seen = {word for word, count in words.items() if count >= 3}
    assert seen >= EVERYTHING, f"never seen: {EVERYTHING - seen}"


EVERYTHING = {f"reserve {kind}" for kind in ("ok", *RefusalKind)} | {
    *(f"settle {kind}" for kind in ("settled", "corrected", "repeated", "unknown", "noted")),
    *(f"heartbeat {kind}" for kind in ("ok", "swept", "ended", "unknown", "dead")),
    *(f"extend {kind}" for kind in ("ok", "lost", "never", "full", "low", "budget")),
    *(f"grant {kind}" for kind in ("ok", "late", "stale", "run")),
    *(f"topup {kind}" for kind in ("ok", "late", "dup", "stale", "nolease")),
    *(f"recall {kind}" for kind in ("ok", "dup", "stale")),
    *("sweep", "drained", "revoke", "raise_version", "adjust"),
}
"""What a walk must meet to be worth its name."""
