"""The text of API keys: what is refused without asking any store, and what its digest gives away."""

import random
import re
import statistics
import string
import time
from collections.abc import Callable
from uuid import UUID

import pytest

from apps.accounts import keys
from apps.core.errors import InvalidCredential

OWNER = UUID("0f8fad5b-d9cb-469f-a165-70867728950e")
PEPPER = "a pepper for tests only"
REPLACEMENTS = string.ascii_letters + string.digits + "_-. \n\x00é\ufb00\uff10"
CHANGED_KEYS = 5
SAMPLES = 20_000
WELCH_BOUND = 4.5
MEDIAN_BOUND = 0.03


def test_a_key_tells_its_owner_and_its_id() -> None:
    text = keys.issue(OWNER)
    assert re.fullmatch(rf"leaky_{OWNER}_[0-9A-Za-z]{{48}}", text)
    parsed = keys.parse(text)
    assert parsed == keys.ParsedKey(OWNER, text[43:53])
    assert text[53:85] not in repr(parsed)


def test_every_change_of_one_character_is_refused_without_a_store() -> None:
    refused = 0
    for seed in range(CHANGED_KEYS):
        text = keys.issue(OWNER, random.Random(seed).choice)
        for position, present in enumerate(text):
            for other in REPLACEMENTS.replace(present, ""):
                with pytest.raises(InvalidCredential):
                    keys.parse(text[:position] + other + text[position + 1 :])
                refused += 1
    assert refused > CHANGED_KEYS * 85 * 60


@pytest.mark.parametrize("change", ["", "leaky_", "drop", "double", "swap", "trailing", "upper"])
def test_other_junk_is_refused(change: str) -> None:
    text = keys.issue(OWNER, random.Random(1).choice)
    junk = {
        "drop": text[:-1],
        "double": text + text[-1],
        "swap": text[:50] + text[51] + text[50] + text[52:],
        "trailing": text + "\n",
        "upper": text.replace(str(OWNER), str(OWNER).upper()),
    }.get(change, change)
    with pytest.raises(InvalidCredential):
        keys.parse(junk)


def test_keys_are_never_issued_twice() -> None:
    assert len({keys.issue(OWNER) for _ in range(2_000)}) == 2_000


def test_a_small_checksum_is_padded() -> None:
    assert keys.checksum("") == "000000"
    assert all(len(keys.checksum(str(number))) == keys.CHECKSUM_LENGTH for number in range(2_000))


def test_the_digest_depends_on_the_pepper_and_on_every_character() -> None:
    text = keys.issue(OWNER, random.Random(2).choice)
    stored = keys.digest(text, PEPPER)
    assert keys.matches(text, stored, PEPPER)
    assert not keys.matches(text, stored, PEPPER + "x")
    assert not keys.matches(text[:-1] + "!", stored, PEPPER)
    assert not keys.matches(text, keys.NO_DIGEST, PEPPER)
    assert len(stored) == 64
    assert text[53:85] not in stored


def test_an_unknown_id_takes_as_long_as_a_wrong_secret() -> None:
    unknown, wrong = _nanoseconds(keys.matches)
    assert abs(_welch_t(unknown, wrong)) < WELCH_BOUND
    assert _median_share(unknown, wrong) < MEDIAN_BOUND


def test_the_measurement_would_see_a_shortcut_for_unknown_ids() -> None:
    assert _median_share(*_nanoseconds(_with_a_shortcut)) > 10 * MEDIAN_BOUND


def _with_a_shortcut(text: str, stored: str, pepper: str) -> bool:
    return stored != keys.NO_DIGEST and keys.matches(text, stored, pepper)


def _nanoseconds(matches: Callable[[str, str, str], bool]) -> tuple[list[int], list[int]]:
    """Times for an unknown id and for a wrong secret, taken in random order in one process."""
    text = keys.issue(OWNER, random.Random(3).choice)
    wrong = keys.digest(text + "?", PEPPER)
    times: dict[str, list[int]] = {keys.NO_DIGEST: [], wrong: []}
    order = [keys.NO_DIGEST, wrong] * SAMPLES
    random.Random(4).shuffle(order)
    for stored in order:
        start = time.perf_counter_ns()
        refused = not matches(text, stored, PEPPER)
        times[stored].append(time.perf_counter_ns() - start)
        assert refused
    return times[keys.NO_DIGEST], times[wrong]


def _welch_t(one: list[int], other: list[int]) -> float:
    """Of all samples. Interruptions of the process weaken it, so the medians are compared as well; cutting the slow
    samples off would not do, because then two equally wrong digests differ by where they lie in memory."""
    spread = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return float((statistics.fmean(one) - statistics.fmean(other)) / spread**0.5)


def _median_share(one: list[int], other: list[int]) -> float:
    """How far the medians lie apart, as a share of the larger one."""
    medians = statistics.median(one), statistics.median(other)
    return abs(medians[0] - medians[1]) / max(medians)
