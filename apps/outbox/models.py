"""The table of events that wait for the relay."""

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now


class OutboxEvent(models.Model):
    """An event as it was written with its fact. ``sent_at`` is the relay's mark; nothing else ever changes."""

    id = models.UUIDField(primary_key=True, editable=False)
    type = models.CharField(max_length=64)
    version = models.PositiveSmallIntegerField()
    aggregate_type = models.CharField(max_length=32)
    aggregate_id = models.UUIDField()
    occurred_at = models.DateTimeField()
    traceparent = models.CharField(max_length=64, blank=True)
    data = models.JSONField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "outbox_event"
        verbose_name = "event"
        indexes: ClassVar = [
            models.Index(fields=["created_at"], condition=models.Q(sent_at__isnull=True), name="outbox_event_unsent"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"
