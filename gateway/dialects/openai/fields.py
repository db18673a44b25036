"""Checks of single request fields, as values: each takes a value and its name, and raises a 400 that names it.

A check is a function ``(value, param) -> None``. The tables in :mod:`.chat` and :mod:`.embeddings` are made of these.
JSON has one number type and Python makes ``true`` an integer, so booleans are refused as numbers explicitly.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NoReturn

from gateway.errors import ApiError, bad_request

Check = Callable[[Any, str], None]

OPAQUE_TEXT_LIMIT = 10_000


def refuse(param: str, expected: str) -> NoReturn:
    """Raise the 400 for a value that is not what was expected; the value itself is never echoed."""
    raise bad_request(f"Invalid value for '{param}': expected {expected}.", param=param)


def unknown(param: str) -> ApiError:
    """400 for a field that nobody knows, by name: a typing error must not be dropped silently."""
    return bad_request(f"Unknown parameter: '{param[:100]}'.", param=param[:100], code="unknown_parameter")


def integer(minimum: int, maximum: int) -> Check:
    """A whole number within bounds."""

    def check(value: Any, param: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
            refuse(param, f"an integer from {minimum} to {maximum}")

    return check


def number(minimum: float, maximum: float) -> Check:
    """A number within bounds."""

    def check(value: Any, param: str) -> None:
        if not isinstance(value, int | float) or isinstance(value, bool) or not minimum <= value <= maximum:
            refuse(param, f"a number from {minimum:g} to {maximum:g}")

    return check


def boolean(value: Any, param: str) -> None:
    """``true`` or ``false``; the strings are not."""
    if not isinstance(value, bool):
        refuse(param, "true or false")


def text(limit: int = OPAQUE_TEXT_LIMIT) -> Check:
    """A string of at most ``limit`` characters."""

    def check(value: Any, param: str) -> None:
        if not isinstance(value, str) or len(value) > limit:
            refuse(param, f"a string of at most {limit} characters")

    return check


def one_of(*options: str) -> Check:
    """One of a few words."""

    def check(value: Any, param: str) -> None:
        if value not in options or not isinstance(value, str):
            refuse(param, " or ".join(f"'{option}'" for option in options))

    return check


def optional(check: Check) -> Check:
    """The check, unless the value is null."""

    def either(value: Any, param: str) -> None:
        if value is not None:
            check(value, param)

    return either


def array(check: Check, *, minimum: int = 0, maximum: int) -> Check:
    """A list whose items all pass ``check``."""

    def each(value: Any, param: str) -> None:
        if not isinstance(value, list) or not minimum <= len(value) <= maximum:
            refuse(param, f"an array of {minimum} to {maximum} items")
        for index, item in enumerate(value):
            check(item, f"{param}[{index}]")

    return each


def record(fields: Mapping[str, Check], *, required: Collection[str] = ()) -> Check:
    """An object with these fields and no others."""

    def check(value: Any, param: str) -> None:
        if not isinstance(value, dict):
            refuse(param, "an object")
        check_fields(value, fields, required, param)

    return check


def check_fields(value: dict[str, Any], fields: Mapping[str, Check], required: Collection[str], param: str) -> None:
    """Hold an object against a table of its fields; ``param`` prefixes the names in errors."""
    prefix = f"{param}." if param else ""
    for name, item in value.items():
        check = fields.get(name)
        if check is None:
            raise unknown(prefix + name)
        check(item, prefix + name)
    check_required(value, required, prefix)


def check_required(value: dict[str, Any], required: Collection[str], prefix: str) -> None:
    """Insist on fields."""
    for name in required:
        if name not in value:
            raise bad_request(
                f"Missing required parameter: '{prefix}{name}'.", param=prefix + name, code="missing_required_parameter"
            )


def opaque_object(value: Any, param: str) -> None:
    """An object that we pass on unread (a JSON schema): never compiled, never dereferenced."""
    if not isinstance(value, dict):
        refuse(param, "an object")


def text_map(maximum: int, *, key_limit: int = 64, value_limit: int = 512) -> Check:
    """An object of short strings, such as ``metadata``."""

    def check(value: Any, param: str) -> None:
        if not isinstance(value, dict) or len(value) > maximum:
            refuse(param, f"an object of at most {maximum} entries")
        for key, item in value.items():
            if len(key) > key_limit or not isinstance(item, str) or len(item) > value_limit:
                refuse(param, f"keys of at most {key_limit} and string values of at most {value_limit} characters")

    return check


def number_map(maximum: int, low: float, high: float) -> Check:
    """An object of numbers within bounds, such as ``logit_bias``."""
    each = number(low, high)

    def check(value: Any, param: str) -> None:
        if not isinstance(value, dict) or len(value) > maximum:
            refuse(param, f"an object of at most {maximum} entries")
        for key, item in value.items():
            each(item, f"{param}.{key[:32]}")

    return check
