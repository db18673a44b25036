"""Organisations with their members and invitations, tiers, and who has which, in the console.

Every change goes through the services, so that it is audited and gateways follow.
"""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from apps.core.console import ask_first, to_payer, to_rows
from apps.core.units import MILLI
from apps.orgs import invitations, memberships, services, tiers
from apps.orgs.domain import scaled
from apps.orgs.models import Allowance, Invitation, Membership, Organisation, Tier, TierAssignment


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
        formset.save(commit=False)
        for membership, fields in formset.changed_objects:
            if "user" in fields:
                memberships.end(Membership.objects.get(pk=membership.pk))
            memberships.join(membership.org, membership.user_id, membership.role)
        for membership in formset.new_objects:
            memberships.join(membership.org, membership.user_id, membership.role)
        for membership in formset.deleted_objects:
            memberships.end(membership)

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


@admin.register(Membership)
class MembershipAdmin(ModelAdmin):
    """Who may let which organisation pay. Ending a membership revokes the member's keys that it pays for."""

    list_display = ["user", "org", "role"]
    list_filter = ["role"]
    list_select_related = ["user", "org"]
    search_fields = ["user__username", "user__email", "org__name", "org__slug"]
    autocomplete_fields = ["user", "org"]

    def get_readonly_fields(self, request: HttpRequest, obj: Membership | None = None) -> list[str]:
        """A membership stays its member's: only the role changes."""
        return [] if obj is None else ["user", "org"]

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:  # noqa: FBT001
        """Through the service."""
        memberships.join(obj.org, obj.user_id, obj.role)
        obj.pk = Membership.objects.get(org=obj.org_id, user=obj.user_id).pk

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        """Through the service: the member's keys end, too."""
        memberships.end(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        """Through the service, one by one."""
        for membership in queryset:
            memberships.end(membership)


class OfferFilter(admin.SimpleListFilter):
    """Open, accepted, taken back or run out."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The four states of an invitation."""
        return [("open", "Open"), ("accepted", "Accepted"), ("revoked", "Revoked"), ("expired", "Expired")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Invitation]) -> QuerySet[Invitation]:
        """Invitations in the chosen state, by the database's clock."""
        unused = Q(accepted_at=None, revoked_at=None)
        conditions = {
            "open": unused & Q(expires_at__gt=Now()),
            "accepted": Q(accepted_at__isnull=False),
            "revoked": Q(revoked_at__isnull=False),
            "expired": unused & Q(expires_at__lte=Now()),
        }
        return queryset.filter(conditions.get(self.value() or "", Q()))


@admin.register(Invitation)
class InvitationAdmin(ModelAdmin):
    """Offers of membership: made by an organisation's admins, revoked here if need be."""

    list_display = ["email", "org", "role", "invited_by", "created_at", "expires_at", "accepted_at", "revoked_at"]
    list_filter = [OfferFilter, "role"]
    list_select_related = ["org", "invited_by"]
    search_fields = ["email", "org__name", "org__slug", "invited_by__username"]
    date_hierarchy = "created_at"
    fields = list_display
    actions = ["revoke"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never: the mail's secret is for the invited address alone."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Invitation | None = None) -> list[str]:
        """All: an offer is revoked, never edited."""
        return self.list_display

    def has_delete_permission(self, request: HttpRequest, obj: Invitation | None = None) -> bool:
        """Never: revoke it."""
        return False

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Invitation]) -> HttpResponse | None:
        """Take offers back, after asking."""
        effect = "The links in these mails no longer work. Who has accepted already stays a member."
        if page := ask_first(self, request, queryset, "Revoke these invitations?", effect):
            return page
        count = invitations.revoke_all(queryset)
        self.message_user(request, f"{count} invitations revoked.", messages.SUCCESS)
        return None


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
        ("Calls", {"fields": ["default_max_output", "requests_per_minute", "concurrency"]}),
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
