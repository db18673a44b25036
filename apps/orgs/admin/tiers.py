"""Tiers, their allowances, and who has which, in the console. Through the services: audited, and gateways follow."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from apps.core.console import ask_first, to_payer
from apps.core.units import MILLI
from apps.orgs import tiers
from apps.orgs.domain import scaled
from apps.orgs.models import Allowance, Organisation, Tier, TierAssignment


class AllowanceInline(TabularInline):
    """Free tokens that come again."""

    model = Allowance
    extra = 0


@admin.register(Tier)
class TierAdmin(ModelAdmin):
    """Limits. A change is felt by all payers of the tier within a second."""

    list_display = ["name", "capacity", "leak", "default_max_output", "priority", "is_default"]
    search_fields = ["name"]
    inlines = [AllowanceInline]
    fieldsets = [
        (None, {"fields": ["name", "priority", "is_default"]}),
        ("Bucket", {"fields": ["bucket_capacity", "capacity_multiplier", "leak_rate", "leak_multiplier"]}),
        ("How it counts", {"fields": ["strategy", "window_seconds", "mode", "max_wait_ms"]}),
        ("Calls", {"fields": ["default_max_output", "hold_step", "requests_per_minute", "concurrency"]}),
        ("Quota", {"fields": ["quota_cap"]}),
    ]
    actions = ["make_default"]

    @display(description="Bucket (tokens)", ordering="bucket_capacity")
    def capacity(self, tier: Tier) -> str:
        """Capacity with separators, as callers feel it."""
        return f"{scaled(tier.bucket_capacity, tier.capacity_multiplier):,}"

    @display(description="Leak (tokens per second)", ordering="leak_rate")
    def leak(self, tier: Tier) -> str:
        """Leak rate in whole tokens, with separators, as callers feel it."""
        return f"{scaled(tier.leak_rate, tier.leak_multiplier) / MILLI:,.10g}"

    def get_readonly_fields(self, request: HttpRequest, obj: Tier | None = None) -> list[str]:
        """The name is the tier."""
        return ["is_default"] if obj is None else ["name", "is_default"]

    def save_model(self, request: HttpRequest, obj: Tier, form: Any, change: bool) -> None:  # noqa: FBT001
        """Through the service, so that gateways follow."""
        tiers.save_tier(obj)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:  # noqa: FBT001
        """Allowances too go through the service."""
        saved = formset.save(commit=False)
        tiers.save_allowances(formset.instance, saved, formset.deleted_objects)

    def delete_model(self, request: HttpRequest, obj: Tier) -> None:
        """Through the service."""
        tiers.delete_tier(obj)

    def has_delete_permission(self, request: HttpRequest, obj: Tier | None = None) -> bool:
        """Not the default tier: everybody without another would be left with none."""
        return bool(super().has_delete_permission(request, obj)) and not (obj is not None and obj.is_default)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Tiers are deleted one by one."""
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

    @admin.action(description="Make it the default", permissions=["change"])
    def make_default(self, request: HttpRequest, queryset: QuerySet[Tier]) -> HttpResponse | None:
        """Give it to everybody who has been assigned none, after asking."""
        if queryset.count() != 1:
            self.message_user(request, "Choose exactly one tier.", messages.ERROR)
            return None
        effect = "Every payer who has been assigned no tier gets the limits of this one."
        if page := ask_first(self, request, queryset, "Make this the default tier?", effect):
            return page
        tiers.make_default(queryset.get())
        self.message_user(request, "The default tier has changed.", messages.SUCCESS)
        return None


class TierAssignmentForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """Insists that the payer exists."""

    def clean(self) -> dict[str, Any] | None:
        """Look the payer up among users or organisations."""
        cleaned = super().clean() or self.cleaned_data
        model = Organisation if cleaned.get("payer_kind") == TierAssignment.PayerKind.ORG else get_user_model()
        if "payer_id" in cleaned and not model._default_manager.filter(pk=cleaned["payer_id"]).exists():  # noqa: SLF001
            self.add_error("payer_id", "There is no such payer.")
        return cleaned


@admin.register(TierAssignment)
class TierAssignmentAdmin(ModelAdmin):
    """Who has a tier of their own."""

    form = TierAssignmentForm
    list_display = ["tier", "payer", "payer_id", "ends_at"]
    list_filter = ["payer_kind", "tier"]
    list_select_related = ["tier"]
    search_fields = ["payer_id"]
    date_hierarchy = "ends_at"

    @display(description="Payer")
    def payer(self, assignment: TierAssignment) -> str:
        """The way to whoever has the tier."""
        return to_payer(assignment.payer_kind, assignment.payer_id)

    def save_model(self, request: HttpRequest, obj: TierAssignment, form: Any, change: bool) -> None:  # noqa: FBT001
        """Through the service, so that gateways follow."""
        tiers.save_assignment(obj)

    def delete_model(self, request: HttpRequest, obj: TierAssignment) -> None:
        """Through the service."""
        tiers.delete_assignment(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[TierAssignment]) -> None:
        """Through the service, one by one."""
        for assignment in queryset:
            tiers.delete_assignment(assignment)
