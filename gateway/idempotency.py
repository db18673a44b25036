"""``Idempotency-Key`` on model calls: one execution and one charge for as many attempts as a client likes.

The key is claimed by the reservation itself. The first attempt runs; others are told that it runs, or get its answer.
A plain answer of up to 256 KiB is kept for a day, sealed with a key of the account's own; where it was not kept (a
stream, a larger one, a lost cache), the call is not made again: the client is told so.

Sources: Stripe API reference, "Idempotent requests"; IETF draft-ietf-httpapi-idempotency-key-header-07.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

import orjson

from apps.core.sealing import Keyring, SealBroken, keyring_for, seal_bytes, unseal_bytes
from gateway.cache import Cache
from gateway.dialects.openai.operations import Body, Operation
from gateway.errors import JSON, ApiError, bad_request, conflict
from gateway.exchange import Exchange, Header

HEADER = b"idempotency-key"
LONGEST_KEY = 255
LARGEST_ANSWER = 256 * 1024
KEPT_SECONDS = 24 * 3600
_PURPOSE = "idempotent-answers"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request that names itself: SHA-256 of its key, and of what it asks. Both in hex."""

    key: str
    fingerprint: str


def attempt_of(exchange: Exchange, operation: Operation, body: Body) -> Attempt | None:
    """The attempt that a checked request is; None when it has no key.

    Raises:
        ApiError: 400 ``invalid_idempotency_key``.
    """
    if exchange.header(HEADER) is None:
        return None
    values = exchange.header_values(HEADER)
    if len(values) != 1 or not _is_key(values[0]):
        message = f"Send one Idempotency-Key of 1 to {LONGEST_KEY} visible ASCII characters."
        raise bad_request(message, code="invalid_idempotency_key")
    # The order of an object's keys does not matter: it is sorted, on every level.
    asked = operation.name.encode() + b"\0" + orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return Attempt(hashlib.sha256(values[0]).hexdigest(), hashlib.sha256(asked).hexdigest())


def _is_key(value: bytes) -> bool:
    return 0 < len(value) <= LONGEST_KEY and all(0x21 <= byte <= 0x7E for byte in value)


def running() -> ApiError:
    """409: the first attempt is under way; its answer will be there soon."""
    message = "A request with this Idempotency-Key is under way; try again in a second."
    return conflict("idempotency_in_progress", message, retry_after_ms=1000)


def mismatch() -> ApiError:
    """422: the key was used for another request."""
    message = "This Idempotency-Key was used for a request with another body."
    return ApiError(422, "idempotency_mismatch", message)


def unavailable() -> ApiError:
    """409: the call was made and charged, and its answer is not here: to make it again would charge it again."""
    message = (
        "The request with this Idempotency-Key was carried out, and its answer was not kept (a stream, larger than "
        "256 KiB, or too long ago). Send the request with another key to carry it out again."
    )
    return conflict("idempotency_result_unavailable", message)


class Answers:
    """The answers that are kept."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    @staticmethod
    def keeps(body: bytes) -> bool:
        """Whether an answer is small enough."""
        return len(body) <= LARGEST_ANSWER

    async def keep(self, account: UUID, attempt: Attempt, reservation: UUID, body: bytes) -> bool:
        """Keep the answer of a call that has ended; whether that was done."""
        place = _place(account, attempt.key)
        sealed = seal_bytes(reservation.bytes + body, place.encode(), _keyring(account))
        return await self._cache.put(place, sealed, seconds=KEPT_SECONDS)

    async def replay(self, exchange: Exchange, account: UUID, attempt: Attempt) -> None:
        """Answer with what the first attempt was answered.

        Raises:
            ApiError: 409, it was not kept.
        """
        place = _place(account, attempt.key)
        sealed = await self._cache.get(place)
        if sealed is None:
            raise unavailable()
        try:
            kept = unseal_bytes(sealed, place.encode(), _keyring(account))
        except SealBroken:  # Sealed with a key that is no longer here.
            raise unavailable() from None
        reservation = UUID(bytes=kept[:16])
        exchange.fields["replayed"] = str(reservation)
        headers: list[Header] = [
            JSON,
            (b"idempotent-replayed", b"true"),
            (b"x-reservation-id", str(reservation).encode()),
        ]
        await exchange.answer(200, headers, kept[16:])


def _place(account: UUID, key: str) -> str:
    return f"answer:{account}:{key}"


@lru_cache(maxsize=1024)
def _keyring(account: UUID) -> Keyring:
    return keyring_for(_PURPOSE, account.bytes)
