"""``python -m benchmarks.bare prepare ACCOUNT FACTS``: the limiter's functions as words for ``redis-benchmark``.

Each of its requests draws the last twelve digits of the hold's id anew. Holds for the settlements are made here; a
quarter of them is settled, so that few are met twice, which would be cheaper.
"""

import json
import os
import sys
from uuid import UUID

import django

django.setup()

from apps.limiter.api import (  # noqa: E402 - Django first
    Bucket,
    Ending,
    Limiter,
    Order,
    Policy,
    journal_key,
    reserve_call,
    settle_call,
    shard_of,
)
from apps.limiter.script import Call  # noqa: E402

HOLDS = 20_000
LARGEST = 10**12
START = "0be9cc00-0000-7000-8000-"
FIRST = UUID(f"{START}{0:012d}")
POLICY = Policy(Bucket(10**9, 10**12))
AT_ONCE = 500


def main() -> None:
    """Make the holds, empty the journal, and print the two commands."""
    account, facts = UUID(sys.argv[2]), sys.argv[3].encode()
    with Limiter(os.environ["QUOTA_REDIS_URL"]) as limiter:
        purse = limiter.purse(account)
        assert purse is not None  # noqa: S101 - the backend was measured just before
        order = Order(FIRST, account, 98, purse.generation, "benchmark", "nobody", None, facts, (), POLICY)
        for first in range(0, HOLDS, AT_ONCE):
            ids = [UUID(f"{START}{number:012d}") for number in range(first, first + AT_ONCE)]
            limiter.run_all([reserve_call(_of(order, hold)) for hold in ids])
        ending = Ending(
            FIRST, account, purse.epoch, purse.generation, 98, POLICY, 36, b'{"usage":{}}', 3_600_000, facts
        )
        shard = shard_of(account)
        limiter.ask(shard, "XTRIM", journal_key(shard), "MAXLEN", 0)
        run_id = limiter.run_id(shard)
    calls = {
        "reserve": {"words": _words(reserve_call(order), run_id), "times": HOLDS, "range": LARGEST},
        "settle": {"words": _words(settle_call(ending), run_id), "times": HOLDS // 4, "range": HOLDS},
    }
    print(json.dumps(calls))


def _of(order: Order, hold: UUID) -> Order:
    return Order(
        hold, order.account, order.amount, order.generation, order.credential, order.user, None, order.facts, (), POLICY
    )


def _words(call: Call[object], run_id: str) -> list[str]:
    words = ["FCALL", call.function, str(len(call.keys)), *call.keys, run_id, *call.args]
    texts = [word.decode() if isinstance(word, bytes) else str(word) for word in words]
    return [text.replace(str(FIRST), f"{START}__rand_int__") for text in texts]


if __name__ == "__main__":
    main()
