"""Secrets at rest."""

import base64

import pytest
from pytest_django import Settings

from apps.core.errors import ConfigurationError
from apps.core.sealing import SealBroken, key_id_of, keyring, seal, unseal
from apps.providers.domain import Credential

ROW, OTHER_ROW = b"row 1", b"row 2"
OLD = "k1:" + base64.b64encode(b"1" * 32).decode()
NEW = "k2:" + base64.b64encode(b"2" * 32).decode()
SECRET = "sk-canary-5b1f"


def test_a_credential_opens_for_its_row_only(settings: Settings) -> None:
    settings.CREDENTIAL_KEYS = [OLD]
    stored = seal(SECRET, ROW, keyring())
    assert SECRET.encode() not in stored
    assert unseal(stored, ROW, keyring()) == SECRET
    with pytest.raises(SealBroken):
        unseal(stored, OTHER_ROW, keyring())


def test_the_same_credential_is_never_sealed_alike(settings: Settings) -> None:
    settings.CREDENTIAL_KEYS = [OLD]
    assert seal(SECRET, ROW, keyring()) != seal(SECRET, ROW, keyring())


def test_the_newest_key_seals_and_older_ones_still_open(settings: Settings) -> None:
    settings.CREDENTIAL_KEYS = [OLD]
    stored = seal(SECRET, ROW, keyring())
    settings.CREDENTIAL_KEYS = [NEW, OLD]
    assert unseal(stored, ROW, keyring()) == SECRET
    assert key_id_of(seal(SECRET, ROW, keyring())) == "k2"
    settings.CREDENTIAL_KEYS = [NEW]
    with pytest.raises(SealBroken, match="k1"):
        unseal(stored, ROW, keyring())


@pytest.mark.parametrize("position", [0, 1, 3, 10, 20, -1])
def test_a_changed_byte_does_not_open(position: int, settings: Settings) -> None:
    settings.CREDENTIAL_KEYS = [OLD]
    stored = bytearray(seal(SECRET, ROW, keyring()))
    stored[position] ^= 1
    with pytest.raises(SealBroken):
        unseal(bytes(stored), ROW, keyring())


@pytest.mark.parametrize("keys", [[], ["k1:"], ["k1:not base64"], ["k1:c2hvcnQ="], [":" + OLD[3:]]])
def test_a_malformed_key_is_named_not_shown(keys: list[str], settings: Settings) -> None:
    settings.CREDENTIAL_KEYS = keys
    with pytest.raises(ConfigurationError) as caught:
        keyring()
    assert OLD[3:] not in str(caught.value)


def test_neither_ring_nor_credential_prints_a_secret(settings: Settings) -> None:
    settings.CREDENTIAL_KEYS = [OLD]
    opened = Credential(unseal(seal(SECRET, ROW, keyring()), ROW, keyring()))
    assert SECRET not in f"{opened!r} {opened}"
    assert OLD[3:] not in f"{keyring()!r}"
