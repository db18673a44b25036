"""``python -m benchmarks.bare prepare ACCOUNT FACTS``: the limiter's functions as words for ``redis-benchmark``.

Each of its requests draws the last twelve digits of the hold's id anew. Holds for the settlements are made here; a
quarter of them is settled, so that few are met twice, which would be cheaper.
"""

import json
import os
import sys
import time
from dataclasses import replace
from typing import Any, cast
from uuid import UUID, uuid4

import django

django.setup()

from apps.limiter.api import (  # noqa: E402 - Django first
    Bucket,
    Ending,
    Limiter,
    Order,
    PartOfLease,
    Policy,
    Purse,
    grant_call,
    journal_key,
    reserve_call,
    settle_call,
    shard_of,
)
from apps.limiter.script import Call  # noqa: E402

HOLDS = 20_000
HOUR_MS = 3_600_000
LARGEST = 10**12
START = "0be9cc00-0000-7000-8000-"
FIRST = UUID(f"{START}{0:012d}")
POLICY = Policy(Bucket(10**9, 10**12))
AT_ONCE = 500
REWRITING_SECONDS = 0.2
PAYLOAD = b'{"usage":{"input":20,"cached_input":0,"output":16,"reasoning":0},"outcome":"completed","status":200}'


def main() -> None:
    """``prepare ACCOUNT FACTS`` prints two commands; ``purses ACCOUNT FIRST COUNT`` gives purses to payers.

    ``forget ACCOUNT`` drops what the two commands have left in the journal: no ledger could book it.
    """
    word, account, *rest = sys.argv[1:]
    with Limiter(os.environ["QUOTA_REDIS_URL"]) as limiter:
        if word == "forget":
            empty_journal(limiter, UUID(account))
            return
        purse = limiter.purse(UUID(account))
        assert purse is not None  # noqa: S101 - the backend was measured just before
        if word == "prepare":
            print(json.dumps(prepared(limiter, UUID(account), purse, rest[0].encode())))
        else:
            give_purses(limiter, purse.generation, int(rest[0]), int(rest[1]))


def prepared(limiter: Limiter, account: UUID, purse: Purse, facts: bytes) -> dict[str, object]:
    """Make the holds and empty the journal; returns the two commands."""
    order = Order(FIRST, account, 98, purse.generation, "benchmark", "nobody", None, facts, (), POLICY)
    for first in range(0, HOLDS, AT_ONCE):
        ids = [UUID(f"{START}{number:012d}") for number in range(first, first + AT_ONCE)]
        limiter.run_all([reserve_call(replace(order, hold=hold)) for hold in ids])
    ending = Ending(FIRST, account, purse.epoch, purse.generation, 98, POLICY, 36, PAYLOAD, 3_600_000, facts)
    empty_journal(limiter, account)
    run_id = limiter.run_id(shard_of(account))
    return {
        "reserve": {"words": _words(reserve_call(order), run_id), "times": HOLDS, "range": LARGEST},
        "settle": {"words": _words(settle_call(ending), run_id), "times": HOLDS // 4, "range": HOLDS},
    }


def empty_journal(limiter: Limiter, account: UUID) -> None:
    """Drop the entries that wait in the account's shard."""
    shard = shard_of(account)
    limiter.ask(shard, "XTRIM", journal_key(shard), "MAXLEN", 0)


def give_purses(limiter: Limiter, generation: int, first: int, count: int) -> None:
    """A purse for each payer from ``first`` up to ``count``, good for this measurement."""
    late, run_id = time.time_ns() // 1_000_000 + HOUR_MS, limiter.run_id(0)
    for begin in range(first, count, AT_ONCE):
        accounts = [payer(number) for number in range(begin, min(begin + AT_ONCE, count))]
        limiter.run_all([grant_call(_part(account, generation, run_id, late)) for account in accounts])
    while b"aof_rewrite_in_progress:1" in cast("bytes", limiter.ask(0, "INFO", "persistence")):
        time.sleep(REWRITING_SECONDS)  # Of the file that has all those purses: no part of what a call costs.


def _part(account: UUID, generation: int, run_id: str, late: int) -> PartOfLease:
    return PartOfLease(uuid4(), account, generation, 1, run_id, 10**9, (), 3 * HOUR_MS, 10_000, late)


def payer(number: int) -> UUID:
    """The account of a payer."""
    return UUID(int=(0xBE << 120) | number)


def _words(call: Call[Any], run_id: str) -> list[str]:
    words = ["FCALL", call.function, str(len(call.keys)), *call.keys, run_id, *call.args]
    texts = [word.decode() if isinstance(word, bytes) else str(word) for word in words]
    return [text.replace(str(FIRST), f"{START}__rand_int__") for text in texts]


if __name__ == "__main__":
    main()
