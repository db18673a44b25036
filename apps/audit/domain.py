"""What a change looks like. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

State = Mapping[str, Any]
"""Names and values of what is worth knowing of a row, as JSON; never a secret."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What was changed: ``kind`` as in ``api_key``, its id, and the organisation whose admins may read of it."""

    kind: str
    id: str
    org_id: UUID | None = None


def difference(before: State | None, after: State | None) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Of two states of one row only what differs; all of it when there is only one (made, deleted)."""
    if before is None or after is None:
        return (None if before is None else dict(before)), (None if after is None else dict(after))
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    return (
        {name: value for name, value in before.items() if name in changed},
        {name: value for name, value in after.items() if name in changed},
    )
