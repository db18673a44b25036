"""Who calls: values, no framework."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key that is good now. ``org_id`` None: the owner pays. ``allowed_models`` None: all models."""

    id: str
    user_id: UUID
    org_id: UUID | None
    allowed_models: frozenset[str] | None
    expires_at: datetime | None
