"""The bound of a call is exact where it can be, and never too small."""

from hypothesis import given
from hypothesis import strategies as st

from apps.core.units import Usage, Weights, weigh
from gateway.dialects.openai.operations import CHAT, EMBEDDINGS
from gateway.estimate import MEDIA_TOKENS, Prompt, default_cap, estimate, prompt_tokens
from gateway.tokenizer import counter

WEIGHTS = st.builds(Weights, *(st.integers(0, 50_000),) * 3)
COUNT = counter("o200k_base")


@given(WEIGHTS, st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 8), st.data())
def test_no_usage_within_its_parts_costs_more_than_the_bound(
    weights: Weights, prompt: int, output: int, choices: int, data: st.DataObject
) -> None:
    used = data.draw(st.integers(0, prompt))
    usage = Usage(used, data.draw(st.integers(0, used)), data.draw(st.integers(0, output * choices)))

    assert weigh(usage, weights) <= estimate(prompt=prompt, output=output, choices=choices, weights=weights).tokens


def test_a_plain_conversation_is_counted_exactly() -> None:
    body = {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello", "name": "Ann"}]
    }

    # 3 per message, 1 for the name, 3 to prime the reply; "Be brief." is 3 tokens, each role, "hello" and "Ann" is 1.
    assert prompt_tokens(CHAT.prompt(body), COUNT) == 2 * 3 + 1 + 3 + (1 + 3) + (1 + 1 + 1)


def test_without_a_tokenizer_bytes_are_the_bound() -> None:
    body = {"messages": [{"role": "user", "content": "grüße"}]}

    assert prompt_tokens(CHAT.prompt(body), None) == 3 + 3 + len("user") + 7
    assert prompt_tokens(CHAT.prompt(body), None) >= prompt_tokens(CHAT.prompt(body), COUNT)


def test_images_and_tools_are_bounded_not_ignored() -> None:
    picture = [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]

    assert prompt_tokens(CHAT.prompt({"messages": [{"role": "user", "content": picture}]}), COUNT) >= MEDIA_TOKENS
    with_tools = CHAT.prompt({"messages": [{"role": "user", "content": "x"}], "tools": tools})
    assert with_tools.opaque_bytes > len('{"type":"function"}')


def test_embeddings_count_texts_and_ids() -> None:
    assert prompt_tokens(EMBEDDINGS.prompt({"input": ["hello", "hello"]}), COUNT) == 2
    assert prompt_tokens(EMBEDDINGS.prompt({"input": [[1, 2, 3], [4]]}), COUNT) == 4
    assert prompt_tokens(EMBEDDINGS.prompt({"input": [1, 2, 3]}), COUNT) == 3


@given(WEIGHTS, st.integers(0, 200_000), st.integers(1, 4), st.integers(1, 10**6))
def test_the_default_cap_is_the_largest_that_fits_the_bucket(
    weights: Weights, prompt: int, choices: int, capacity: int
) -> None:
    unlimited = 10**12
    cap = default_cap(
        prompt=prompt, choices=choices, weights=weights, model_cap=unlimited, tier_cap=unlimited,
        context_left=unlimited, capacity=capacity,
    )  # fmt: skip

    if cap >= 1:
        assert estimate(prompt=prompt, output=cap, choices=choices, weights=weights).tokens <= capacity
    if cap < unlimited:
        assert estimate(prompt=prompt, output=cap + 1, choices=choices, weights=weights).tokens > capacity


def test_the_default_cap_is_the_least_of_its_four() -> None:
    def cap(**changed: int) -> int:
        limits = {"model_cap": 1000, "tier_cap": 1000, "context_left": 1000, "capacity": 100_000, **changed}
        return default_cap(prompt=100, choices=1, weights=Weights(), **limits)

    assert cap() == 1000
    assert cap(model_cap=7) == 7
    assert cap(tier_cap=8) == 8
    assert cap(context_left=9) == 9
    assert cap(capacity=110) == 10
    assert cap(capacity=50) < 1


def test_an_empty_prompt_has_no_wrapping() -> None:
    assert prompt_tokens(Prompt(texts=()), COUNT) == 0
