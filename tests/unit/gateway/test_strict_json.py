"""Bodies that two readers could read differently are refused by name (RELIABILITY.md 5.2, rows 41 to 49)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ApiError
from gateway.strict_json import MAX_DEPTH, loads

REFUSED = [
    (b"", "invalid_request_error"),
    (b"null", "invalid_request_error"),
    (b"[]", "invalid_request_error"),
    (b'"x"', "invalid_request_error"),
    (b"42", "invalid_request_error"),
    (b'{"a":', "invalid_json"),
    (b'{"a":1,}', "invalid_json"),
    (b'{"a":1} x', "invalid_json"),
    (b"\xef\xbb\xbf{}", "invalid_json"),
    (b"{'a': 1}", "invalid_json"),
    (b'{"a": "\xff"}', "invalid_json"),
    ('{"a": 1}'.encode("utf-16"), "invalid_json"),
    (b'{"a": "\\ud800"}', "invalid_json"),
    (b'{"\\udfff": 1}', "invalid_json"),
    (b'{"a": ["x", {"b": "\\udc00"}]}', "invalid_json"),
    (b'{"a": NaN}', "invalid_json"),
    (b'{"a": -Infinity}', "invalid_json"),
    (b'{"a": 1e400}', "invalid_json"),
    (b'{"a": ' + b"9" * 5000 + b"}", "invalid_json"),
    (b'{"a": 0.' + b"9" * 5000 + b"}", "invalid_json"),
    (b'{"a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "too_deep"),
    (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "too_deep"),
    (b'{"model":"a","model":"b"}', "duplicate_key"),
    (b'{"a":{"b":1,"b":1}}', "duplicate_key"),
    (b"{" + b",".join(b'"k%d":1' % i for i in range(200_000)) + b"}", "too_large"),
]


@pytest.mark.parametrize(("raw", "code"), REFUSED, ids=[raw[:24].decode("latin-1") for raw, _ in REFUSED])
def test_ambiguous_or_huge_bodies_are_refused(raw: bytes, code: str) -> None:
    with pytest.raises(ApiError) as refusal:
        loads(raw)

    assert (refusal.value.status, refusal.value.code) == (400, code)


def test_the_offset_is_told_and_the_content_is_not() -> None:
    with pytest.raises(ApiError) as refusal:
        loads(b'{"password": "hunter2" oops}')

    assert "character 23" in refusal.value.message
    assert "hunter2" not in refusal.value.message


def test_brackets_inside_strings_are_not_depth() -> None:
    assert loads(json.dumps({"a": "[{" * 500}).encode()) == {"a": "[{" * 500}


def test_a_proper_surrogate_pair_is_text() -> None:
    assert loads(b'{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), _VALUES))
def test_what_is_accepted_is_what_was_sent(value: dict[str, object]) -> None:
    assert loads(json.dumps(value, ensure_ascii=False).encode()) == value
