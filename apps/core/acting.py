"""Who makes the changes of a request, a command or a job, and why; the audit trail asks here."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, replace

PERSON, OPERATOR, API_KEY, CLIENT, SYSTEM = "person", "operator", "api_key", "client", "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """``kind`` is one of the words above, ``id`` the user's (or a command's name), ``ip`` where it came from."""

    kind: str
    id: str = ""
    name: str = ""
    ip: str = ""
    request_id: str = ""
    reason: str = ""


NOBODY = Actor(SYSTEM, name="system")
"""Jobs, and whoever changes things without saying so."""

_acting: ContextVar[Actor] = ContextVar("acting", default=NOBODY)


def actor() -> Actor:
    """Who acts here."""
    return _acting.get()


def begin(who: Actor) -> Token[Actor]:
    """From now on ``who`` acts, until :func:`end` with what this returns. Prefer :func:`acting`."""
    return _acting.set(who)


def end(token: Token[Actor]) -> None:
    """Whoever acted before acts again."""
    _acting.reset(token)


@contextmanager
def acting(who: Actor) -> Iterator[None]:
    """All changes inside are ``who``'s."""
    token = begin(who)
    try:
        yield
    finally:
        end(token)


@contextmanager
def because(reason: str) -> Iterator[None]:
    """All changes inside have this reason."""
    with acting(replace(actor(), reason=reason)):
        yield
