"""Events as operators see them: everything to read, nothing to change."""

from typing import Any, ClassVar

from django.contrib import admin
from django.core.paginator import Paginator
from django.http import HttpRequest
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin

from apps.outbox.models import OutboxEvent

MOST_COUNTED = 10_000
"""Rows that a list counts at most: beyond it, an operator narrows the search instead of turning pages."""


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Pages without counting a table that only grows."""

    @cached_property
    def count(self) -> int:
        """Rows found, at most :data:`MOST_COUNTED`."""
        return int(self.object_list.order_by().values("pk")[:MOST_COUNTED].count())  # type: ignore[union-attr]


@admin.register(OutboxEvent)
class OutboxEventAdmin(ModelAdmin):
    """Read only, also for superusers: an event is history."""

    list_display = ("id", "type", "version", "aggregate_type", "aggregate_id", "occurred_at", "sent_at")
    list_filter: ClassVar = ["type", ("sent_at", admin.EmptyFieldListFilter)]
    search_fields: ClassVar = ["=id", "=aggregate_id"]
    search_help_text = "Event id or aggregate id."
    ordering = ("-id",)
    paginator = BoundedPaginator
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
