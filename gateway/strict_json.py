"""JSON as a bank reads it: nothing ambiguous, nothing huge, nothing that a later reader would see differently.

The standard decoder takes duplicate keys, ``NaN``, lone surrogates and any depth. Two readers of such a text may see
two different requests, so each is refused by name. (RFC 8259 sections 4, 6, 8; RFC 7493 "I-JSON" forbids the same.)
"""

import json
import re
from typing import Any, Never

import orjson

from gateway.errors import ApiError, bad_request

MAX_DEPTH = 64
MAX_NODES = 100_000
MAX_DIGITS = 64

_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


def loads(raw: bytes) -> dict[str, Any]:
    """Decode a request body that must be one JSON object.

    Raises:
        ApiError: 400 ``invalid_json``, ``too_deep``, ``duplicate_key``, ``invalid_value`` or ``invalid_request_error``.
    """
    if not raw:
        raise bad_request("The body is empty: object expected.", code="invalid_request_error")
    if not _may_be_large(raw) and (value := _unambiguous(raw)) is not None:
        return value
    return _checked(raw)


def dumps(value: object, option: int | None = None) -> bytes:
    """A value as JSON, to be kept: what orjson returns occupies four kilobytes at least, for as long as it lives."""
    return b"".join((orjson.dumps(value, option=option), b""))  # A copy, of the text's own length.


def _unambiguous(raw: bytes) -> dict[str, Any] | None:
    """The object, if the text is the one way in which it is written: then no key came twice, nothing was lost.

    That is how official clients write, and a seventh of the work. None says nothing about the text.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) and orjson.dumps(value) == raw else None


def _checked(raw: bytes) -> dict[str, Any]:
    text = _decode(raw)
    if _may_be_large(raw):
        _check_depth(text)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise bad_request(f"The body is not valid JSON (at character {error.pos}).", code="invalid_json") from None
    except RecursionError:
        raise _too_deep() from None
    if b"\\u" in raw and _has_lone_surrogate(value):
        raise bad_request("The body contains a lone surrogate, which is not text.", code="invalid_json")
    if not isinstance(value, dict):
        raise bad_request("The body must be a JSON object: object expected.", code="invalid_request_error")
    return value


def _decode(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise bad_request(f"The body is not valid UTF-8 (at byte {error.start}).", code="invalid_json") from None
    if text.startswith("\ufeff"):
        raise bad_request("The body starts with a byte order mark (at character 0).", code="invalid_json")
    return text


def _may_be_large(raw: bytes) -> bool:
    """A text with few brackets and commas can be neither deep nor large; counting bytes is much cheaper than a walk."""
    return raw.count(b"[") + raw.count(b"{") > MAX_DEPTH or raw.count(b",") > MAX_NODES


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]|,', re.DOTALL)


def _check_depth(text: str) -> None:
    """Walk brackets and commas outside strings, so that neither depth nor size reaches the recursive decoder."""
    depth = nodes = 0
    for match in _TOKEN.finditer(text):
        mark = match[0][0]
        if mark in "[{":
            depth += 1
        elif mark in "]}":
            depth -= 1
        nodes += mark != '"'
        if depth > MAX_DEPTH:
            raise _too_deep()
        if nodes > MAX_NODES:
            raise bad_request(f"The body has more than {MAX_NODES} elements.", code="too_large")


def _too_deep() -> ApiError:
    return bad_request(f"The body is nested deeper than {MAX_DEPTH} levels.", code="too_deep")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise bad_request("A key occurs twice in one object.", param=twice[:64], code="duplicate_key")
    return value


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise bad_request("A number has too many digits.", code="invalid_json")
    return int(digits)


def _float(digits: str) -> float:
    if len(digits) > MAX_DIGITS:
        raise bad_request("A number has too many digits.", code="invalid_json")
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise bad_request("A number is out of range.", code="invalid_json")
    return value


def _constant(name: str) -> Never:
    raise bad_request(f"{name} is not JSON.", code="invalid_json")


def _has_lone_surrogate(value: Any) -> bool:
    if isinstance(value, str):
        return _LONE_SURROGATE.search(value) is not None
    if isinstance(value, dict):
        return any(_has_lone_surrogate(key) or _has_lone_surrogate(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_has_lone_surrogate, value))


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)
