"""Events as operators see them: everything to read, nothing to change."""

from typing import ClassVar

from django.contrib import admin
from unfold.admin import ModelAdmin

from apps.core.console import HistoryAdmin
from apps.outbox.models import OutboxEvent


@admin.register(OutboxEvent)
class OutboxEventAdmin(HistoryAdmin, ModelAdmin):
    """Events, newest first."""

    list_display = ("id", "type", "version", "aggregate_type", "aggregate_id", "occurred_at", "sent_at")
    list_filter: ClassVar = ["type", ("sent_at", admin.EmptyFieldListFilter)]
    search_fields: ClassVar = ["=id", "=aggregate_id"]
    search_help_text = "Event id or aggregate id"
    ordering = ("-id",)
