"""The stub's token counts are exact, by a tokenizer and by a count that OpenAI published."""

from itertools import product

import toktok

from gateway.stubs import words
from gateway.stubs.faults import NONE
from gateway.stubs.openai import chat

# The example of OpenAI's cookbook ("How to count tokens with tiktoken"), for which its API reported 124 (gpt-4o).
_COOKBOOK = [
    ("", "You are a helpful, pattern-following assistant that translates corporate jargon into plain English."),
    ("example_user", "New synergies will help drive top-line growth."),
    ("example_assistant", "Things working well together will increase revenue."),
    (
        "example_user",
        "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
    ),
    ("example_assistant", "Let's talk later when we're less busy about how to do better."),
]
_COOKBOOK_QUESTION = "This late pivot means we don't have time to boil the ocean for the client deliverable."


def test_n_words_are_n_tokens() -> None:
    texts = ["".join(words.words(start, number)) for number in range(1, 2001) for start in (0, 7 * number)]
    assert toktok.batch_count(texts, "o200k_base") == [number for number in range(1, 2001) for _ in range(2)]


def test_any_two_words_are_two_tokens() -> None:
    pairs = ["".join(pair) for pair in product(words.WORDS + words.WIDE_WORDS, repeat=2)]
    assert set(toktok.batch_count(pairs, "o200k_base")) == {2}


def test_every_fourth_word_is_wide() -> None:
    assert not any(word.isascii() for word in words.WIDE_WORDS)
    assert [word.isascii() for word in words.words(7, 12)] == [True, True, True, False] * 3


def test_the_prompt_is_counted_as_openai_counts_its_own_example() -> None:
    examples = [
        {"role": "system", "content": content} | ({"name": name} if name else {}) for name, content in _COOKBOOK
    ]
    messages = [*examples, {"role": "user", "content": _COOKBOOK_QUESTION}]
    assert chat.parse({"model": "gpt-4o", "messages": messages}, NONE).prompt_tokens == 124


def test_text_parts_count_as_their_text() -> None:
    parts = [{"type": "text", "text": "Where does the river go?"}]
    as_parts = chat.parse({"model": "gpt-4o", "messages": [{"role": "user", "content": parts}]}, NONE)
    as_text = chat.parse({"model": "gpt-4o", "messages": [{"role": "user", "content": parts[0]["text"]}]}, NONE)
    assert as_parts.prompt_tokens == as_text.prompt_tokens == 3 + 1 + 6 + 3
