"""Organisations with their members, and invitations, in the console.

Every change goes through the services, so that it is audited and gateways follow.
"""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from apps.core.console import ask_first, to_rows
from apps.orgs import invitations, memberships, services
from apps.orgs.models import Invitation, Membership, Organisation


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
