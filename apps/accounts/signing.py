"""The keys that sign our tokens: which one signs now, which are published, and how the next one comes.

A key is published from its making, signs from ``activates_at`` until a newer one does, and stays published for as long
as a token of it may live. So a verifier that has looked within that time knows every key that it meets. One that has
leaked is withdrawn: it ends at once, with all that it signed.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from joserfc.jwk import RSAKey

from apps.accounts import tokens
from apps.accounts.models import SigningKey
from apps.accounts.tokens import ACCESS_TYPE, PublishedKey
from apps.audit.api import Subject, record, state_of
from apps.config.api import SIGNING_KEYS, touch
from apps.core.acting import NOBODY, acting
from apps.core.errors import NotFound
from apps.core.ids import uuid7
from apps.core.sealing import key_id_of, keyring, seal, unseal

KEY_BITS = 2048
LEAD = timedelta(hours=24)
"""How long a key is published before it signs: whoever fetches our keys once a day meets no unknown one."""

KEPT_AFTER = timedelta(hours=1)
"""How long a key stays published after the last token that it signed has expired."""

_TOLD = ("activates_at", "withdrawn_at")
"""What the audit trail tells of a key."""


def trust() -> tokens.Trust:
    """Which tokens count here."""
    return tokens.Trust(settings.TOKEN_ISSUER, settings.PUBLIC_URL, settings.TOKEN_AUDIENCE)


def sign(claims: Mapping[str, Any], *, type_: str = ACCESS_TYPE) -> str:
    """A JWT of these claims by the key that signs now; the first key is made when there is none."""
    return tokens.sign(claims, signing_key(), type_=type_)


def signing_key() -> RSAKey:
    """The private key that signs now. One query; opened once."""
    row = _signing_at(timezone.now()) or _first_key()
    return _opened(row.kid, bytes(row.sealed_private))


def published_keys() -> dict[str, PublishedKey]:
    """All keys that a verifier may meet, by id, newest first. One query."""
    return {
        row.kid: PublishedKey(row.kid, RSAKey.import_key(row.public_jwk), until)
        for row, until in _with_ends(timezone.now())
    }


def published_jwks() -> list[dict[str, Any]]:
    """The same as a JSON Web Key Set's ``keys`` (RFC 7517)."""
    return [row.public_jwk for row, _until in _with_ends(timezone.now())]


@transaction.atomic
def rotate(*, lead: timedelta) -> SigningKey:
    """Make the next key, published now, signing after ``lead``."""
    key = RSAKey.generate_key(KEY_BITS, auto_kid=False, private=True)
    kid = uuid7().hex
    pem = key.as_pem(private=True).decode()
    row = SigningKey.objects.create(
        kid=kid,
        public_jwk={**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": tokens.ALGORITHM},
        sealed_private=seal(pem, _context(kid), keyring()),
        activates_at=timezone.now() + lead,
    )
    record("signing_key.created", _subject(row), None, state_of(row, *_TOLD))
    touch(SIGNING_KEYS)
    return row


@transaction.atomic
def withdraw_signing_key(kid: str) -> str:
    """Take away a key that has leaked: nothing that it signed is believed, by gateways within a second.

    If it was the one that signs, the next one is made and signs at once. Returns the id of the key that signs now.

    Raises:
        NotFound: there is no such key, or it is withdrawn already.
    """
    touch(SIGNING_KEYS)  # Its row lock lets one in at a time.
    row = SigningKey.objects.filter(kid=kid, withdrawn_at=None).first()
    if row is None:
        raise NotFound
    present, before = _signing_at(timezone.now()), state_of(row, *_TOLD)
    row.withdrawn_at = timezone.now()
    row.save(update_fields=["withdrawn_at"])
    record("signing_key.withdrawn", _subject(row), before, state_of(row, *_TOLD))
    # An older key never takes over again: it may not be published any more.
    return rotate(lead=timedelta(0)).kid if present is None or present == row else present.kid


@transaction.atomic
def reseal_signing_keys() -> int:
    """Seal the keys that sign, now or later, with the newest of ``LEAKY_CREDENTIAL_KEYS``; how many were with another.

    Those before them are never opened again, so theirs may be gone.

    Raises:
        SealBroken: a key does not open.
    """
    present = _signing_at(timezone.now())
    rows = SigningKey.objects.select_for_update().filter(withdrawn_at=None)
    return sum(_reseal(row) for row in (rows.filter(activates_at__gte=present.activates_at) if present else rows))


def rotate_signing_key(*, lead: timedelta) -> tuple[str, datetime]:
    """Make the next key; its id, and when it begins to sign."""
    row = rotate(lead=lead)
    return row.kid, row.activates_at


def rotate_if_old() -> bool:
    """Make the next key if the newest is older than ``LEAKY_SIGNING_KEY_DAYS``, and tell whether. Safe to run at the
    same time in several places: the first makes the key young.
    """
    with transaction.atomic():
        touch(SIGNING_KEYS)  # Its row lock lets one in at a time.
        age = timedelta(days=settings.SIGNING_KEY_DAYS)
        if SigningKey.objects.filter(activates_at__gt=timezone.now() - age, withdrawn_at=None).exists():
            transaction.set_rollback(True)
            return False
        rotate(lead=LEAD)
        return True


def _first_key() -> SigningKey:
    """Made once, also when several processes find none at the same time."""
    with transaction.atomic(), acting(NOBODY):  # Whoever needs it first did not ask for it.
        touch(SIGNING_KEYS)  # Its row lock lets one in at a time.
        return _signing_at(timezone.now()) or rotate(lead=timedelta(0))


def _signing_at(now: datetime) -> SigningKey | None:
    return SigningKey.objects.filter(activates_at__lte=now, withdrawn_at=None).order_by("-activates_at").first()


def _with_ends(now: datetime) -> list[tuple[SigningKey, datetime | None]]:
    """Keys that are published at ``now``, each with its end: known once a newer key's beginning is."""
    kept = timedelta(seconds=settings.TOKEN_SECONDS) + KEPT_AFTER
    published: list[tuple[SigningKey, datetime | None]] = []
    newer: datetime | None = None
    # A key that was withdrawn after it had signed did follow the one before, which stays as long as it would have.
    for row in SigningKey.objects.exclude(withdrawn_at__lt=F("activates_at")).order_by("-activates_at"):
        until = None if newer is None else newer + kept
        if row.withdrawn_at is None and (until is None or until > now):
            published.append((row, until))
        newer = row.activates_at
    return published


@cache
def _opened(kid: str, sealed: bytes) -> RSAKey:
    return RSAKey.import_key(unseal(sealed, _context(kid), keyring()), {"kid": kid})


def _reseal(row: SigningKey) -> bool:
    ring, old = keyring(), key_id_of(bytes(row.sealed_private))
    if old == ring.newest:
        return False
    row.sealed_private = seal(unseal(bytes(row.sealed_private), _context(row.kid), ring), _context(row.kid), ring)
    row.save(update_fields=["sealed_private"])
    record("signing_key.resealed", _subject(row), {"sealed_with": old}, {"sealed_with": ring.newest})
    return True


def _subject(row: SigningKey) -> Subject:
    return Subject("signing_key", row.kid)


def _context(kid: str) -> bytes:
    return b"signing key " + kid.encode()
