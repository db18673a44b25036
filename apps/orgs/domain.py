"""Who pays and within which limits: values, no framework."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Tier:
    """Limits of a payer's calls, per provider.

    ``bucket_capacity`` in tokens, ``leak_rate`` in milli-tokens per second, ``default_max_output`` in provider tokens:
    the cap of a call that names none.
    """

    name: str
    bucket_capacity: int
    leak_rate: int
    default_max_output: int
    priority: int


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, and who pays: ``payer_kind`` is ``user`` or ``org``. ``allowed_models`` None: all models.

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
