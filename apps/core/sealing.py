"""Secrets at rest that we must be able to read again: AES-256-GCM, with keys that live beside the database, not in it.

    stored = length of the key's id (1 byte) || id || nonce (12 bytes) || ciphertext and tag

What the secret is for (a row's id, a purpose) is authenticated with it, so a value that is copied elsewhere does not
open there.
"""

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from apps.core.errors import ConfigurationError, LeakyError

NONCE_BYTES = 12
KEY_BYTES = 32


class SealBroken(LeakyError):
    """A stored secret does not open: its key is not here, it was changed, or it belongs elsewhere."""

    code = "seal_broken"


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys that open secrets, by id; the newest one seals."""

    newest: str
    keys: Mapping[str, AESGCM] = field(repr=False)


def keyring() -> Keyring:
    """The keys of this installation (``LEAKY_CREDENTIAL_KEYS``). Read here and nowhere else.

    Raises:
        ConfigurationError: none is given, or one is malformed.
    """
    keys = _keys()
    return Keyring(next(iter(keys)), {key_id: AESGCM(key) for key_id, key in keys.items()})


def keyring_for(purpose: str, subject: bytes) -> Keyring:
    """Keys of one purpose and subject alone, derived from those of this installation (HKDF-SHA-256, RFC 5869).

    What one of them seals opens with no other's, nor with the keys that they come from.

    Raises:
        ConfigurationError: as :func:`keyring`.
    """
    keys = _keys()
    info = purpose.encode() + b"\0" + subject
    derived = {key_id: HKDF(SHA256(), KEY_BYTES, None, info).derive(key) for key_id, key in keys.items()}
    return Keyring(next(iter(keys)), {key_id: AESGCM(key) for key_id, key in derived.items()})


def seal(secret: str, context: bytes, ring: Keyring) -> bytes:
    """Encrypt ``secret`` for one place, named by ``context``, with the newest key."""
    return seal_bytes(secret.encode(), context, ring)


def seal_bytes(secret: bytes, context: bytes, ring: Keyring) -> bytes:
    """The same for bytes that need not be text."""
    key_id, nonce = ring.newest.encode(), os.urandom(NONCE_BYTES)
    sealed = ring.keys[ring.newest].encrypt(nonce, secret, context)
    return bytes([len(key_id)]) + key_id + nonce + sealed


def unseal(stored: bytes, context: bytes, ring: Keyring) -> str:
    """Open what :func:`seal` made for the same place.

    Raises:
        SealBroken: the key is missing, or the value was sealed for another place.
    """
    return unseal_bytes(stored, context, ring).decode()


def unseal_bytes(stored: bytes, context: bytes, ring: Keyring) -> bytes:
    """Open what :func:`seal_bytes` made for the same place.

    Raises:
        SealBroken: as :func:`unseal`.
    """
    key_id = key_id_of(stored)
    nonce, sealed = stored[1 + len(key_id) :][:NONCE_BYTES], stored[1 + len(key_id) + NONCE_BYTES :]
    if key_id not in ring.keys:
        raise SealBroken(f"the key {key_id} is not among LEAKY_CREDENTIAL_KEYS")
    try:
        return ring.keys[key_id].decrypt(nonce, sealed, context)
    except (InvalidTag, ValueError) as error:
        raise SealBroken("the secret was changed, or was sealed for another place") from error


def key_id_of(stored: bytes) -> str:
    """Which key sealed a stored secret."""
    return stored[1 : 1 + stored[0]].decode(errors="replace")


def _keys() -> dict[str, bytes]:
    keys = dict(_key(entry) for entry in settings.CREDENTIAL_KEYS)
    if not keys:
        raise ConfigurationError("LEAKY_CREDENTIAL_KEYS must name at least one key")
    return keys


def _key(entry: str) -> tuple[str, bytes]:
    key_id, _, encoded = entry.partition(":")
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ConfigurationError(f"LEAKY_CREDENTIAL_KEYS: the key {key_id} is not base64") from error
    if not 0 < len(key_id.encode()) < 256 or len(key) != KEY_BYTES:
        raise ConfigurationError(f"LEAKY_CREDENTIAL_KEYS: {KEY_BYTES} bytes and an id, as in k1:<base64>")
    return key_id, key
