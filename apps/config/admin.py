"""What the gateways should know by now: read-only."""

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from apps.config.models import ConfigVersion


@admin.register(ConfigVersion)
class ConfigVersionAdmin(ModelAdmin):
    """Versions rise by changes of what they version, never by hand."""

    list_display = ["topic", "version", "changed_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never: a change makes its own."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: ConfigVersion | None = None) -> bool:
        """Never by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ConfigVersion | None = None) -> bool:
        """Never: gateways would see time run backwards."""
        return False
