"""Checks of lists that keys and clients carry: anything else would silently allow nothing, or something else."""

import re
import unicodedata
from collections.abc import Collection
from ipaddress import ip_network
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError

from apps.core.http.caller import ALL_SCOPES

_DECEIVES = frozenset(
    "\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufeff"
)
"""Marks that nobody sees, or that turn the text around them: they change what an operator believes to read."""


def validate_label(value: str) -> None:
    """A name that people read: no control characters, nothing unseen, nothing that turns the text around.

    Raises:
        ValidationError: it has some.
    """
    if any(character in _DECEIVES or unicodedata.category(character) == "Cc" for character in value):
        raise ValidationError("Control characters, unseen ones and marks of text direction are not allowed.")


LOOPBACK = ("127.0.0.1", "[::1]", "localhost")
"""Hosts whose plain http no other machine can listen to (RFC 8252, section 7.3)."""

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(:[0-9]{1,5})?")
_PATH = re.compile(r"[A-Za-z0-9\-._~!$&'()+,;=:@%/]*")


def validate_names(value: object) -> None:
    """A list of names.

    Raises:
        ValidationError: it is not.
    """
    if not _are_texts(value):
        raise ValidationError('A JSON list of names, as in ["gpt-4o-mini"].')


def validate_scopes(value: object) -> None:
    """A list of scopes that mean something here.

    Raises:
        ValidationError: naming those that do not.
    """
    if not _are_texts(value):
        raise ValidationError('A JSON list of scopes, as in ["inference"].')
    if unknown := set(value) - ALL_SCOPES:  # type: ignore[call-overload]
        raise ValidationError(f"Unknown scopes: {', '.join(sorted(unknown))}.")


def validate_networks(value: object) -> None:
    """A list of addresses or networks.

    Raises:
        ValidationError: naming the first that is none.
    """
    if not _are_texts(value):
        raise ValidationError('A JSON list of addresses or networks, as in ["203.0.113.0/24"].')
    for text in value:  # type: ignore[attr-defined]
        try:
            ip_network(text)
        except ValueError as error:
            raise ValidationError(f"{text!r} is no address or network: {error}.") from error


def validate_redirects(uris: Collection[str], schemes: Collection[str]) -> None:
    """Addresses that an OAuth2 client may be answered at: whole, plain, and nobody else's by any reading.

    Raises:
        ValidationError: naming the first that is not.
    """
    for uri in uris:
        if problem := _redirect_problem(uri, schemes):
            raise ValidationError(f"{uri!r}: {problem}.")


def _redirect_problem(uri: str, schemes: Collection[str]) -> str:
    scheme, found, rest = uri.partition("://")
    if not found or scheme not in schemes:
        return f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}"
    parts = urlsplit(uri)
    host = _HOST.fullmatch(rest[: len(parts.netloc)])
    if host is None:
        return "the host must be a plain name or address in lower case, without user name or wildcard"
    if scheme == "http" and host[1] not in LOOPBACK:
        return "http is only for this machine (127.0.0.1, [::1], localhost)"
    if "#" in uri or not _PATH.fullmatch(parts.path) or {".", ".."} & set(parts.path.split("/")):
        return "the path must be plain, without dot segments or fragment"
    return ""


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) and text for text in value)


class MaximumLengthValidator:
    """Refuses passwords that only cost time to hash. For Django's password policy."""

    def __init__(self, max_length: int = 128) -> None:
        self.max_length = max_length

    def validate(self, password: str, user: object = None) -> None:  # noqa: ARG002 (Django's interface)
        """Nothing, or the refusal.

        Raises:
            ValidationError: it is too long.
        """
        if len(password) > self.max_length:
            raise ValidationError(f"This password is too long. It may have at most {self.max_length} characters.")

    def get_help_text(self) -> str:
        """The rule in a sentence."""
        return f"Your password may have at most {self.max_length} characters."
