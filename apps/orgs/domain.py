"""Who pays and within which limits: values, no framework."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Tier:
    """Limits of a payer's calls, per provider.

    ``bucket_capacity`` in tokens and ``leak_rate`` in milli-tokens per second, multipliers applied;
    ``default_max_output`` in provider tokens: the cap of a call that names none. None: no limit.
    """

    name: str
    bucket_capacity: int
    leak_rate: int
    default_max_output: int
    priority: int
    quota_cap: int | None = None
    requests_per_minute: int | None = None
    concurrency: int | None = None


def scaled(base: int, multiplier: int) -> int:
    """``base`` times ``multiplier`` milli-units, rounded half up, never below 1. Source: CONTRACT, section 3.4."""
    return max(1, (base * multiplier + 500) // 1000)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, and who pays: ``payer_kind`` is ``user`` or ``org``. ``allowed_models`` None: all models.

    ``kind`` is the credential's (``api_key``, ``jwt``, ``oauth2``), ``key_id`` what logs and usage events name it by:
    a key's id, else a session's or a client's. ``bound_org_id`` is the organisation that the credential itself is bound
    to; ``org_id`` the one that pays. ``allowed_networks`` None: every address. ``budget`` in tokens, None: none;
    keys with one ``budget_id`` share it.
    It holds until ``expires_at`` (None: no end of its own) and until credentials or tiers change.
    """

    key_id: str
    user_id: UUID
    payer_kind: str
    payer_id: UUID
    org_id: UUID | None
    tier: str
    allowed_models: frozenset[str] | None
    expires_at: datetime | None
    kind: str = "api_key"
    roles: tuple[str, ...] = ()
    scopes: frozenset[str] = frozenset()
    allowed_networks: tuple[str, ...] | None = None
    client_id: str = ""
    bound_org_id: UUID | None = None
    budget: int | None = None
    budget_id: str = ""
