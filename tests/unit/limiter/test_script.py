"""What is sent to Valkey and how its replies are read."""

from uuid import UUID

import pytest

from apps.limiter.api import LEAKY_BUCKET, Bucket, Decision, adjust_call, bucket_key, pour_call

ACCOUNT = UUID("5bd3a0ce-5f0e-4b8e-9c3c-3f0f6e1f7a10")


def test_a_key_carries_the_tag_of_its_accounts_shard() -> None:
    assert bucket_key(ACCOUNT) == "{q47}:bucket:5bd3a0ce-5f0e-4b8e-9c3c-3f0f6e1f7a10"


def test_every_shard_is_used() -> None:
    tags = {bucket_key(UUID(int=number)).partition(":")[0] for number in range(2000)}
    assert tags == {f"{{q{shard:02d}}}" for shard in range(64)}


def test_a_pour_as_it_is_sent() -> None:
    call = pour_call({"a": Bucket(10, 20), "b": Bucket(30, 40)}, 5)
    assert (call.script, call.keys, call.args) == (LEAKY_BUCKET, ("a", "b"), ("pour", 5, "", 10, 20, 30, 40))


def test_an_adjustment_as_it_is_sent() -> None:
    call = adjust_call({"a": Bucket(10, 20)}, -5, now_ms=7)
    assert (call.keys, call.args) == (("a",), ("adjust", -5, 7, 10, 20))
    assert call.decode([b"4000000"]) == [4_000_000]


def test_replies_as_they_are_read() -> None:
    first, second = Bucket(10, 20), Bucket(30, 40)
    decode = pour_call({"a": first, "b": second}, 5).decode
    assert decode([b"poured", 1, b"5000000", b"0"]) == Decision(allowed=True, level_micro=5_000_000, bucket=first)
    assert decode([b"full", 2, b"7", b"90"]) == Decision(allowed=False, level_micro=7, bucket=second, wait_ms=90)
    assert decode([b"never", 2, b"7", b"0"]) == Decision(allowed=False, level_micro=7, bucket=second, fits_ever=False)


@pytest.mark.parametrize(("buckets", "tokens"), [({}, 1), ({"a": Bucket(1, 1)}, -1)])
def test_a_pour_without_bucket_or_below_zero_is_refused(buckets: dict[str, Bucket], tokens: int) -> None:
    with pytest.raises(ValueError, match="a pour needs"):
        pour_call(buckets, tokens)
