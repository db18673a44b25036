"""Members and what they may cost, in the console. Through the services: audited, and gateways follow."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from apps.orgs import member_limits, memberships
from apps.orgs.models import MemberLimit, Membership


class MemberLimitInline(TabularInline):
    """What the member's calls may cost the organisation in each window."""

    model = MemberLimit
    verbose_name_plural = "limits"
    extra = 0


@admin.register(Membership)
class MembershipAdmin(ModelAdmin):
    """Who may let which organisation pay. Ending a membership revokes the member's keys that it pays for."""

    list_display = ["user", "org", "role", "limited"]
    list_filter = ["role"]
    list_select_related = ["user", "org"]
    search_fields = ["user__username", "user__email", "org__name", "org__slug"]
    autocomplete_fields = ["user", "org"]
    fields = ["user", "org", "role"]
    inlines = [MemberLimitInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        """With the limits, in one query for all rows of a page."""
        rows: QuerySet[Membership] = super().get_queryset(request)
        return rows.prefetch_related("limits")

    @display(description="Limits")
    def limited(self, membership: Membership) -> str:
        """What the member may cost."""
        return ", ".join(map(str, membership.limits.all())) or "-"

    def get_readonly_fields(self, request: HttpRequest, obj: Membership | None = None) -> list[str]:
        """A membership stays its member's: only the role changes."""
        return [] if obj is None else ["user", "org"]

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:  # noqa: FBT001
        """Through the service."""
        memberships.join(obj.org, obj.user_id, obj.role)
        obj.pk = Membership.objects.get(org=obj.org_id, user=obj.user_id).pk

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:  # noqa: FBT001
        """Limits too go through their service."""
        saved = formset.save(commit=False)
        member_limits.delete(formset.deleted_objects)
        for limit in saved:
            member_limits.save(limit)

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        """Through the service: the member's keys end, too."""
        memberships.end(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        """Through the service, one by one."""
        for membership in queryset:
            memberships.end(membership)
