"""Organisations with their members, tiers, and who has which, in the console."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from apps.core.console import ask_first, to_payer, to_rows
from apps.core.units import MILLI
from apps.orgs import services
from apps.orgs.models import Membership, Organisation, Tier, TierAssignment


class MembershipInline(TabularInline):
    """Who may let the organisation pay."""

    model = Membership
    autocomplete_fields = ["user"]
    extra = 0


@admin.register(Organisation)
class OrganisationAdmin(ModelAdmin):
    """Organisations. One with members is suspended rather than deleted."""

    list_display = ["name", "slug", "members", "state", "accounts", "id"]
    list_filter = ["suspended"]
    search_fields = ["name", "slug", "id"]
    prepopulated_fields = {"slug": ["name"]}
    readonly_fields = ["id", "accounts"]
    inlines = [MembershipInline]
    actions = ["suspend", "reopen"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Organisation]:
        """With the number of members, in the same query."""
        rows: QuerySet[Organisation] = super().get_queryset(request)
        return rows.annotate(member_count=Count("memberships"))

    @display(description="Members", ordering="member_count")
    def members(self, org: Any) -> int:
        """How many may let it pay."""
        return int(org.member_count)

    @display(description="State", ordering="suspended", label={"open": "success", "suspended": "danger"})
    def state(self, org: Organisation) -> str:
        """Whether calls that it pays are accepted."""
        return "suspended" if org.suspended else "open"

    @display(description="Money")
    def accounts(self, org: Organisation) -> str:
        """The way to its accounts; a new one has none."""
        return "-" if org._state.adding else to_rows("quotas_account", org.pk, "accounts")  # noqa: SLF001

    def save_model(self, request: HttpRequest, obj: Organisation, form: Any, change: bool) -> None:  # noqa: FBT001
        """Through the service, so that gateways follow."""
        services.save(obj)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:  # noqa: FBT001
        """Memberships too go through the service."""
        for membership in formset.save(commit=False):
            services.save(membership)
        for membership in formset.deleted_objects:
            services.delete(membership)
        formset.save_m2m()

    def delete_model(self, request: HttpRequest, obj: Organisation) -> None:
        """Through the service."""
        services.delete(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Organisation]) -> None:
        """Through the service, one by one."""
        for org in queryset:
            services.delete(org)

    @admin.action(description="Suspend", permissions=["change"])
    def suspend(self, request: HttpRequest, queryset: QuerySet[Organisation]) -> HttpResponse | None:
        """Refuse the calls that they pay, after asking."""
        effect = "Calls that these organisations would pay are refused until they are reopened."
        if page := ask_first(self, request, queryset, "Suspend these organisations?", effect):
            return page
        count = services.suspend([org.pk for org in queryset], suspended=True)
        self.message_user(request, f"{count} organisations suspended.", messages.SUCCESS)
        return None

    @admin.action(description="Reopen", permissions=["change"])
    def reopen(self, request: HttpRequest, queryset: QuerySet[Organisation]) -> None:
        """Accept their calls again."""
        count = services.suspend([org.pk for org in queryset], suspended=False)
        self.message_user(request, f"{count} organisations reopened.", messages.SUCCESS)


@admin.register(Tier)
class TierAdmin(ModelAdmin):
    """Limits. A change is felt by all payers of the tier within a second."""

    list_display = ["name", "capacity", "leak", "default_max_output", "priority", "is_default"]
    search_fields = ["name"]
    actions = ["make_default"]

    @display(description="Bucket (tokens)", ordering="bucket_capacity")
    def capacity(self, tier: Tier) -> str:
        """Capacity with separators."""
        return f"{tier.bucket_capacity:,}"

    @display(description="Leak (tokens per second)", ordering="leak_rate")
    def leak(self, tier: Tier) -> str:
        """Leak rate in whole tokens, with separators."""
        return f"{tier.leak_rate / MILLI:,.10g}"

    def get_readonly_fields(self, request: HttpRequest, obj: Tier | None = None) -> list[str]:
        """The name is the tier."""
        return [] if obj is None else ["name", "is_default"]

    def save_model(self, request: HttpRequest, obj: Tier, form: Any, change: bool) -> None:  # noqa: FBT001
        """Through the service, so that gateways follow."""
        services.save_tier(obj)

    def delete_model(self, request: HttpRequest, obj: Tier) -> None:
        """Through the service."""
        services.delete_tier(obj)

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
        services.make_default(queryset.get())
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
        services.save(obj)

    def delete_model(self, request: HttpRequest, obj: TierAssignment) -> None:
        """Through the service."""
        services.delete(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[TierAssignment]) -> None:
        """Through the service, one by one."""
        for assignment in queryset:
            services.delete(assignment)
