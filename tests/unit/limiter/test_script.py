"""What is sent to Valkey and how its replies are read."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest

from apps.limiter.api import (
    FOREVER_MS,
    LIBRARY,
    Admitted,
    Bucket,
    BudgetMove,
    Call,
    Claim,
    Decision,
    Ended,
    EndedKind,
    Ending,
    Entry,
    EntryKind,
    Mark,
    Mode,
    Order,
    PartOfLease,
    Policy,
    Refusal,
    RefusalKind,
    Requests,
    Strategy,
    adjust_call,
    bucket_key,
    decode_entry,
    decode_mark,
    decode_purse,
    extend_call,
    grant_call,
    pour_call,
    raise_version_calls,
    reserve_call,
    revoke_calls,
    settle_call,
    shard_of,
)

ACCOUNT = UUID("5bd3a0ce-5f0e-4b8e-9c3c-3f0f6e1f7a10")
HOLD = UUID("00000000-0000-4000-8000-000000000001")
POLICY = Policy(Bucket(10, 20), requests_per_minute=6)
ORDER = Order(HOLD, ACCOUNT, 5, 3, "key:k1", "u1", None, b"facts", ("b1", "b2"), POLICY)
ENDING = Ending(HOLD, ACCOUNT, 4, 3, 5, POLICY, actual=2, payload=b"usage", tombstone_ms=60_000)


def test_a_key_carries_the_tag_of_its_accounts_shard() -> None:
    assert bucket_key(ACCOUNT) == "{q47}:bucket:5bd3a0ce-5f0e-4b8e-9c3c-3f0f6e1f7a10"
    assert shard_of(ACCOUNT) == 47


def test_every_shard_is_used() -> None:
    assert {shard_of(UUID(int=number)) for number in range(2000)} == set(range(64))


def test_all_keys_of_a_call_are_in_one_slot() -> None:
    claimed = replace(ORDER, claim=Claim("ab", "cd", 1000))
    calls: list[Call[object]] = [reserve_call(claimed), settle_call(replace(ENDING, claim="ab"))]
    for call in calls:
        assert {key.partition(":")[0] for key in call.keys} == {"{q47}"}


def test_the_library_is_named_by_what_it_says() -> None:
    header, version, body = LIBRARY.text.split("\n", 2)
    assert hashlib.sha256(body.encode()).hexdigest()[:8] == LIBRARY.version
    assert header == f"#!lua name=leaky_{LIBRARY.version}"
    assert version == f'local VERSION = "{LIBRARY.version}"'
    assert reserve_call(ORDER).function == f"reserve_{LIBRARY.version}"


def test_a_reservation_as_it_is_sent() -> None:
    tagged = [f"{{q47}}:{name}:{ACCOUNT}" for name in ("purse", "bucket", "rpm", "queue")]
    of_shard = [f"{{q47}}:{name}" for name in (f"hold:{HOLD}", "live", "journal", "mark", "dead:key:k1", "tv:u1")]
    call = reserve_call(ORDER)
    assert call.keys == (*tagged, *of_shard)
    policy = "10 20 LEAKY_BUCKET police 0 1000 6 -"
    assert call.args == (str(HOLD), str(ACCOUNT), 5, 3, "", b"facts", "b1 b2", 15_625, policy, "")
    assert call.at(7).args == (*call.args[:-1], 7)


def test_a_policy_as_it_is_sent() -> None:
    shaped = Policy(Bucket(1, 2), mode=Mode.SHAPE, max_wait_ms=3000, concurrency=4)
    assert pour_call(ACCOUNT, HOLD, shaped, 0).args[2] == "1 2 LEAKY_BUCKET shape 3000 1000 - 4"
    window = Policy(Bucket(1, 2), Strategy.FIXED_WINDOW, max_wait_ms=3000, window_ms=60_000)
    assert adjust_call(ACCOUNT, HOLD, window, -1, poured_ms=9).args == (
        *(str(HOLD), -1, 9, 0),
        "1 2 FIXED_WINDOW police 0 60000 - -",
        "",
    )


def test_an_admission_as_it_is_read() -> None:
    reply = [b"ok", 4, 900, 1, 60_000, 2, 7_500_000, 0, 375, 130_000, 22_000, 99]
    decision = Decision(allowed=True, level_micro=7_500_000, bucket=POLICY.bucket, empty_in_ms=375)
    assert reserve_call(ORDER).decode(reply) == Admitted(
        epoch=4,
        available=900,
        low=True,
        lease_left_ms=60_000,
        live=2,
        decision=decision,
        requests=Requests(limit=6, remaining=3, reset_ms=22_000),
        poured_ms=99,
    )


def test_a_refusal_as_it_is_read() -> None:
    decode = reserve_call(ORDER).decode
    full = Refusal(RefusalKind.FULL, 99, 4, purse_alive=True, limit=10, used=8, available=2, wait_ms=150, run_id="r")
    assert decode([b"full", 99, 4, 1, 10, 8, 0, 2, 150, b"", b"r"]) == full
    assert decode([b"full", 99, 4, 1, 10, 8, 0, 2, -1, b"", b"r"]) == replace(full, wait_ms=FOREVER_MS)
    replay = Refusal(RefusalKind.REPLAY, 99, hold=HOLD, stored=True, run_id="r")
    assert decode([b"replay", 99, 0, 0, 0, 0, 0, 1, 0, str(HOLD).encode(), b"r"]) == replay
    budget = Refusal(RefusalKind.BUDGET, 99, 4, purse_alive=True, available=3, budget="b2", run_id="r")
    assert decode([b"budget", 99, 4, 1, 0, 0, 0, 3, 0, b"b2", b"r"]) == budget


def test_a_settlement_as_it_is_sent_and_read() -> None:
    call = settle_call(ENDING)
    assert call.args[:10] == (str(HOLD), str(ACCOUNT), 5, 3, 4, 2, b"usage", 0, b"", "")
    assert settle_call(replace(ENDING, facts=b"")).args[7:9] == (1, b"")
    assert call.decode([b"settled", 2, 0, b"run:1-0", b"5-0"]) == Ended(EndedKind.SETTLED, 2, 0, "run:1-0", "5-0")


def test_a_death_is_told_to_every_shard() -> None:
    for calls in (revoke_calls("k1", 1000), raise_version_calls("u1", 3, 1000)):
        assert len({call.keys[0].partition(":")[0] for call in calls}) == 64


def test_an_entry_as_it_is_read() -> None:
    fields = {b"k": b"S", b"id": str(HOLD).encode(), b"a": str(ACCOUNT).encode(), b"e": b"4", b"g": b"3", b"n": b"5"}
    fields |= {b"c": b"2", b"b": b"1", b"r": b"3", b"pr": b"2", b"bu": b"b1,2,3 member:a,b,2,0", b"f": b"F", b"p": b"P"}
    budgets = (BudgetMove("b1", 2, 3), BudgetMove("member:a,b", 2, 0))
    assert decode_entry(b"7-1", fields) == Entry(
        "7-1", EntryKind.SETTLED, HOLD, ACCOUNT, 4, 3, 5, 2, 1, 3, 2, budgets, b"F", b"P"
    )


def test_a_mark_says_what_is_drained() -> None:
    mark = decode_mark([b"run:1-0", b"10-2", b"9-11", b"4", b"99"])
    assert mark == Mark("run:1-0", "10-2", "9-11", 4, 99)
    assert (mark.drained, replace(mark, at="10-2").drained) == (False, True)
    assert [mark.covers("run:1-0", entry) for entry in ("9-2", "9-11", "9-12", "10-0")] == [True, True, False, False]
    assert not mark.covers("other:1-0", "1-0")
    nothing = decode_mark([None] * 5)
    assert (nothing.drained, nothing.covers("", "1-0")) == (True, False)


def test_no_purse_is_none() -> None:
    assert decode_purse({}) is None


@pytest.mark.parametrize(
    "build",
    [
        lambda: reserve_call(replace(ORDER, amount=-1)),
        lambda: settle_call(replace(ENDING, actual=-1)),
        lambda: pour_call(ACCOUNT, HOLD, POLICY, -1),
        lambda: grant_call(PartOfLease(HOLD, ACCOUNT, 1, 1, "run", -1, (), 1, 1, 1)),
        lambda: grant_call(PartOfLease(HOLD, ACCOUNT, 1, 1, "run", 1, (("b", -1),), 1, 1, 1)),
    ],
)
def test_fewer_than_no_tokens_are_refused(build: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="never negative"):
        build()


def test_a_hold_grows_by_one_token_at_least() -> None:
    with pytest.raises(ValueError, match="one token at least"):
        extend_call(ACCOUNT, HOLD, 0, POLICY)
