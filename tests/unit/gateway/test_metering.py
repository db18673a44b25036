"""A provider's usage is believed only within bounds; what we count ourselves is bounded too."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.units import Usage
from gateway.estimate import Estimate
from gateway.metering import counted_usage, read, trusted_usage
from gateway.tokenizer import counter

BOUND = Estimate(prompt=100, output=50, choices=2, tokens=200)
COUNT = counter("o200k_base")


def reported(prompt: Any = 10, output: Any = 5, **details: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": output, **details}


def test_a_plausible_usage_is_believed_with_its_details() -> None:
    usage = trusted_usage(
        reported(
            90, 80, prompt_tokens_details={"cached_tokens": 40}, completion_tokens_details={"reasoning_tokens": 30}
        ),
        BOUND,
    )

    assert usage == Usage(input=90, cached_input=40, output=80, reasoning=30)


@pytest.mark.parametrize(
    "hostile",
    [
        None, 7, "12", [], {}, reported(prompt=-5), reported(prompt="12"), reported(prompt=10**18),
        reported(prompt=1.5), reported(prompt=True), reported(prompt=201), reported(output=-1), reported(output=201),
        reported(output=None),
    ],
)  # fmt: skip
def test_an_implausible_usage_is_not_believed(hostile: Any) -> None:
    assert trusted_usage(hostile, BOUND) is None


def test_details_never_exceed_their_whole() -> None:
    usage = trusted_usage(reported(10, 5, prompt_tokens_details={"cached_tokens": 99}), BOUND)

    assert usage == Usage(input=10, cached_input=10, output=5)


def test_what_was_read_is_counted_per_choice() -> None:
    usage = counted_usage([(0, "hello"), (1, "hello"), (0, " world")], BOUND, COUNT)

    assert usage == Usage(input=100, output=3)


@given(st.lists(st.tuples(st.integers(0, 5), st.text())))
def test_a_count_never_exceeds_the_bound(texts: list[tuple[int, str]]) -> None:
    for count in (COUNT, None):
        assert counted_usage(texts, BOUND, count).output <= BOUND.output * BOUND.choices


def test_all_generated_text_is_read() -> None:
    chunk = read(
        b'{"choices":[{"index":1,"delta":{"content":"a","refusal":"b","reasoning_content":"c","tool_calls":'
        b'[{"index":0,"function":{"name":"d","arguments":"e"}}]}}],"usage":null}'
    )

    assert chunk is not None
    assert "".join(piece for _, piece in chunk.texts()) == "abcde"


@given(st.binary())
def test_garbage_is_never_an_answer_and_never_an_error(raw: bytes) -> None:
    assert read(b"\x00" + raw) is None
