"""An authorization request beyond what the protocol engine checks: its parameters, and what they ask of the person."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from oauthlib.oauth2.rfc6749.errors import CustomOAuth2Error, InvalidRequestError
from oauthlib.openid.connect.core.exceptions import (
    RegistrationNotSupported,
    RequestNotSupported,
    RequestURINotSupported,
)

SIGNED_IN_SINCE = "signed_in_since"
"""Ours, on the way back from the sign-in page: Unix seconds from which on a sign-in is the one that was asked for."""

LONGEST_NONCE = 255
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_SECONDS = re.compile(r"[0-9]{1,10}")
_UNSUPPORTED = {
    "request": RequestNotSupported,
    "request_uri": RequestURINotSupported,
    "registration": RegistrationNotSupported,
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request asks of the person. ``since`` and ``max_age`` are seconds, None if nothing was asked."""

    prompt: frozenset[str]
    max_age: int | None
    since: int | None

    @property
    def silent(self) -> bool:
        """Whether no page may be shown."""
        return "none" in self.prompt

    @property
    def asks_consent(self) -> bool:
        """Whether the person must be asked again, whatever they allowed before."""
        return "consent" in self.prompt

    def sign_in_again(self, signed_in_at: datetime, now: datetime) -> bool:
        """Whether the sign-in of ``signed_in_at`` is not the one that the client wants."""
        if self.since is not None:
            return int(signed_in_at.timestamp()) < self.since
        if self.prompt & {"login", "select_account"}:
            return True
        return self.max_age is not None and (now - signed_in_at).total_seconds() > self.max_age


def read(parameters: Mapping[str, str], asked: Any) -> Wish:
    """The wish of a request that the engine has found good (``asked`` is the engine's view of it).

    Raises:
        OAuth2Error: a parameter that we do not support or understand; the error knows where to go.
    """
    for name, refusal in _UNSUPPORTED.items():
        if name in parameters:
            raise refusal(request=asked)
    if not _CHALLENGE.fullmatch(asked.code_challenge):
        raise _invalid("code_challenge is not the SHA-256 of a verifier in base64url.", asked)
    if parameters.get("response_mode", "query") != "query":
        raise _invalid("The only response_mode is query.", asked)
    if len(parameters.get("nonce", "")) > LONGEST_NONCE:
        raise _invalid(f"nonce has more than {LONGEST_NONCE} characters.", asked)
    prompt = frozenset(parameters.get("prompt", "").split())
    if "none" in prompt and len(prompt) > 1:
        raise _invalid("prompt=none excludes all others.", asked)
    return Wish(prompt, _seconds("max_age", parameters, asked), _seconds(SIGNED_IN_SINCE, parameters, asked))


def _seconds(name: str, parameters: Mapping[str, str], asked: Any) -> int | None:
    text = parameters.get(name)
    if text is None:
        return None
    if not _SECONDS.fullmatch(text):
        raise _invalid(f"{name} is not a number of seconds.", asked)
    return int(text)


def _invalid(description: str, asked: Any) -> CustomOAuth2Error:
    return InvalidRequestError(description=description, request=asked)
