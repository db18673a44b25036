"""Reads of the trail."""

from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from apps.audit.models import Entry


def entries(
    org_id: UUID | None,
    *,
    action: str | None = None,
    actor: str | None = None,
    subject: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[Entry]:
    """Entries of one organisation, newest first; with None those of all, which is for those who may read everything.

    ``actor`` and ``subject`` are ids, ``since`` and ``until`` are both included. What is None restricts nothing.
    """
    wanted = {
        "org_id": org_id, "action": action, "actor_id": actor, "subject_id": subject,
        "at__gte": since, "at__lte": until,
    }  # fmt: skip
    return Entry.objects.filter(**{name: value for name, value in wanted.items() if value is not None})
