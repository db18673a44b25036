"""Refused calls: the trace that the gateway leaves of each in the cache, for a day, under the call's request id.
Callers choose those, so each payer has a trace of its own under one id.

A trace says which limit refused, its value, what was used and held, and when the call would pass. It is a help, not a
record: the cache may forget it, and without the cache there is none.
"""

import json
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

import redis
import structlog
from django.conf import settings

from apps.quotas.explanations import Limit, Refusal

KEY = "refusal:"
TIMEOUT_SECONDS = 0.5
_NUMBERS = ("value", "used", "held", "needed", "passes_in_ms")

log = structlog.get_logger(__name__)


def refusals_of(request_id: str) -> list[Refusal]:
    """The traces of refused calls with this id, one for each payer; none where the cache does not answer."""
    try:
        traces: list[bytes] = client().hvals(f"{KEY}{request_id}")  # type: ignore[assignment]  # the client is synchronous
    except redis.RedisError as error:
        log.warning("refusals.unknown", reason=type(error).__name__)
        return []
    return [refusal for refusal in map(decode, traces) if refusal is not None]


def decode(text: bytes) -> Refusal | None:
    """A trace as the gateway wrote it; None for what is none."""
    try:
        plain: dict[str, Any] = json.loads(text)
        return Refusal(
            request_id=str(plain["request_id"]),
            at=_moment(plain["at"]),
            payer_kind=str(plain["payer_kind"]),
            payer_id=UUID(str(plain["payer_id"])),
            provider=str(plain.get("provider") or ""),
            model=str(plain.get("model") or ""),
            key_id=str(plain.get("key_id") or ""),
            status=int(plain["status"]),
            code=str(plain["code"]),
            message=str(plain.get("message") or ""),
            limit=_limit(plain["limit"]) if plain.get("limit") else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        log.warning("refusals.unreadable", reason=str(error))
        return None


def _limit(plain: dict[str, Any]) -> Limit:
    numbers = {name: None if plain.get(name) is None else int(plain[name]) for name in _NUMBERS}
    at = plain.get("passes_at")
    return Limit(name=str(plain["name"]), passes_at=None if at is None else _moment(at), **numbers)


def _moment(plain: str | int) -> datetime:
    """ISO 8601 text, or Unix milliseconds."""
    if isinstance(plain, int):
        return datetime.fromtimestamp(plain / 1000, UTC)
    found = datetime.fromisoformat(plain)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@cache
def client() -> redis.Redis:
    """A client of the cache."""
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
    )
