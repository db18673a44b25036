"""Secrets of one machine, made once and kept beside its data, so that a restart can still read that data."""

import base64
import secrets

from apps.core.http.internal_token import public_key_of
from leaky_tokens.local.place import Place

FILE = "secrets.json"
GATEWAYS_OWN = ("GATEWAY_INTERNAL_KEY",)


def generated_secrets(place: Place) -> dict[str, str]:
    """Name to value: passwords of the stores, and the variables that the processes need. Missing ones are made."""
    known: dict[str, str] = place.read(FILE)
    wanted = _fresh() | known
    if wanted != known:
        place.write(FILE, wanted)
    return wanted


def _fresh() -> dict[str, str]:
    passwords = ("postgres_superuser", "postgres_owner", "postgres_app", "quota", "cache")
    return {name: secrets.token_hex(16) for name in passwords} | {
        "DJANGO_SECRET_KEY": secrets.token_urlsafe(48),
        "LEAKY_KEY_PEPPER": secrets.token_urlsafe(32),
        "GATEWAY_INTERNAL_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "LEAKY_CREDENTIAL_KEYS": f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}",
    }


def for_processes(known: dict[str, str]) -> dict[str, str]:
    """Of all secrets, those that are variables of every process, and the public half of the gateways' own."""
    variables = {name: value for name, value in known.items() if name.isupper() and name not in GATEWAYS_OWN}
    return variables | {"LEAKY_INTERNAL_KEYS": public_key_of(known["GATEWAY_INTERNAL_KEY"])}


def for_gateways(known: dict[str, str]) -> dict[str, str]:
    """Of all secrets, those that no other process may know."""
    return {name: known[name] for name in GATEWAYS_OWN}
