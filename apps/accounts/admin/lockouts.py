"""Wrong passwords in the console: who is locked, from where, and letting them in again."""

from axes.models import AccessAttempt
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display

from apps.accounts.lockout import is_over
from apps.accounts.services import forget_attempts


@admin.register(AccessAttempt)
class AttemptAdmin(ModelAdmin):
    """One name and address. Deleting it forgets the wrong passwords: the name is open again, at once."""

    list_display = ["username", "ip_address", "failures_since_start", "attempt_time", "state"]
    list_filter = ["attempt_time"]
    search_fields = ["username", "ip_address"]
    date_hierarchy = "attempt_time"
    fields = readonly_fields = ["username", "ip_address", "user_agent", "failures_since_start", "attempt_time"]

    @display(description="State", label={"open": "success", "locked": "danger"})
    def state(self, attempt: AccessAttempt) -> str:
        """Whether a password would be looked at now."""
        return "open" if is_over(attempt) else "locked"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: AccessAttempt | None = None) -> bool:
        """Nobody changes; it is deleted."""
        return False

    def delete_model(self, request: HttpRequest, obj: AccessAttempt) -> None:
        """Through the service."""
        forget_attempts([obj])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[AccessAttempt]) -> None:
        """Through the service."""
        forget_attempts(queryset)
