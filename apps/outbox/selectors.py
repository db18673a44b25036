"""Reads of events that were written."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from apps.outbox.models import OutboxEvent


def data_of(ids: Iterable[UUID]) -> dict[UUID, dict[str, Any]]:
    """The data of these events, by id; those that are not there are left out. One query."""
    return dict(OutboxEvent.objects.filter(id__in=list(ids)).values_list("id", "data"))
