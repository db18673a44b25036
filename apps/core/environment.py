"""Settings read from the environment: typed, bounded, and listed, so that the documentation cannot lag behind.

Each reader takes the variable's name, its default and its bounds, returns the value, and remembers the declaration;
``docs/configuration.md`` is rendered from :data:`DECLARED` (``make pages``) and a test holds the
two against each other.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from apps.core.errors import ConfigurationError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Declaration:
    """One environment variable as an operator sees it."""

    name: str
    default: str
    bounds: str
    purpose: str
    module: str


DECLARED: dict[str, Declaration] = {}


def text(name: str, default: str, purpose: str, *, secret: bool = False) -> str:
    """Read a string. A ``secret``'s default is never shown in the documentation."""
    _declare(name, "(generated)" if secret else default, "", purpose)
    return os.environ.get(name, default)


def integer(name: str, default: int, purpose: str, *, minimum: int, maximum: int) -> int:
    """Read a whole number within ``minimum..maximum``.

    Raises:
        ConfigurationError: not a whole number, or out of bounds.
    """
    _declare(name, str(default), f"{minimum} … {maximum}", purpose)
    return _bounded(name, _parse(name, int, default), minimum, maximum)


def number(name: str, default: float, purpose: str, *, minimum: float, maximum: float) -> float:
    """Read a number (seconds, shares) within ``minimum..maximum``.

    Raises:
        ConfigurationError: not a number, or out of bounds.
    """
    _declare(name, f"{default:g}", f"{minimum:g} … {maximum:g}", purpose)
    return _bounded(name, _parse(name, float, default), minimum, maximum)


def flag(name: str, purpose: str, *, default: bool) -> bool:
    """Read ``true`` or ``false``.

    Raises:
        ConfigurationError: any other word.
    """
    _declare(name, str(default).lower(), "true, false", purpose)
    return choice_of(name, str(default).lower(), ("true", "false")) == "true"


def choice(name: str, default: str, purpose: str, *, options: tuple[str, ...]) -> str:
    """Read one of ``options``.

    Raises:
        ConfigurationError: any other word.
    """
    _declare(name, default, ", ".join(options), purpose)
    return choice_of(name, default, options)


def words(name: str, default: str, purpose: str) -> list[str]:
    """Read a comma-separated list; blanks are dropped."""
    _declare(name, default, "", purpose)
    return [word.strip() for word in os.environ.get(name, default).split(",") if word.strip()]


def choice_of(name: str, default: str, options: tuple[str, ...]) -> str:
    """Read ``name`` and insist that it is one of ``options``."""
    value = os.environ.get(name, default).strip().lower()
    if value not in options:
        raise ConfigurationError(f"{name} must be one of {', '.join(options)}")
    return value


def _declare(name: str, default: str, bounds: str, purpose: str) -> None:
    module = sys._getframe(2).f_globals["__name__"]  # noqa: SLF001 (who declares it decides where it is documented)
    DECLARED.setdefault(name, Declaration(name, default, bounds, purpose, module))


def _parse(name: str, kind: Callable[[str], T], default: T) -> T:
    raw = os.environ.get(name, "").strip()
    if not raw:
        return default
    try:
        return kind(raw)
    except ValueError as error:
        raise ConfigurationError(f"{name} must be a {kind.__name__}") from error


def _bounded(name: str, value: T, minimum: T, maximum: T) -> T:
    if not minimum <= value <= maximum:  # type: ignore[operator]
        raise ConfigurationError(f"{name} must lie within {minimum} … {maximum}, not {value}")
    return value
