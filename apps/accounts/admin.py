"""Users, groups and API keys in the console. A key's text is shown once, when it is made; its digest never."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from apps.accounts import services
from apps.accounts.models import ApiKey, User
from apps.accounts.oauth.console import ClientAdmin
from apps.core.console import ask_first, identifier, to_payer

__all__ = ["ApiKeyAdmin", "ClientAdmin", "GroupAdmin", "UserAdmin"]

admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """Operators' permissions, by group."""


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Users. One who has owned a key is made inactive rather than deleted."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "email", "is_active", "is_staff", "is_superuser", "last_login"]
    search_fields = ["username", "email", "first_name", "last_name", "id"]
    date_hierarchy = "date_joined"
    readonly_fields = ["id", "last_login", "date_joined"]
    fieldsets = [
        (None, {"fields": ["id", "username", "password", "email", "first_name", "last_name"]}),
        ("May do", {"fields": ["is_active", "is_staff", "is_superuser", "groups", "user_permissions"]}),
        ("Dates (UTC)", {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [
        (None, {"classes": ["wide"], "fields": ["username", "email", "usable_password", "password1", "password2"]})
    ]

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:  # noqa: FBT001
        """Through the service, so that gateways forget who the user was."""
        services.save_user(obj)

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        """Through the service."""
        services.delete_user(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Through the service, one by one."""
        for user in queryset:
            services.delete_user(user)


class StateFilter(admin.SimpleListFilter):
    """Good, expired or revoked keys."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The three states of a key."""
        return [("good", "Good"), ("expired", "Expired"), ("revoked", "Revoked")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        """Keys in the chosen state, by the database's clock."""
        expired = Q(expires_at__lte=Now())
        conditions = {
            "good": ~expired & Q(revoked_at=None),
            "expired": expired & Q(revoked_at=None),
            "revoked": Q(revoked_at__isnull=False),
        }
        return queryset.filter(conditions.get(self.value() or "", Q()))


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):
    """Keys are made and revoked; they are never deleted, because usage names them."""

    list_display = ["name", "prefix", "owner", "payer", "state", "created_at", "expires_at", "last_used_at"]
    list_filter = [StateFilter, "created_at"]
    list_select_related = ["owner"]
    search_fields = ["name", "id", "owner__username", "owner__email", "org_id"]
    date_hierarchy = "created_at"
    autocomplete_fields = ["owner"]
    fields = ["name", "owner", "org_id", "allowed_models", "expires_at"]
    actions = ["revoke"]

    @display(description="Key")
    def prefix(self, key: ApiKey) -> str:
        """The part of the key that is no secret."""
        return f"{key.display_prefix[:14]}…_{key.pk}…"

    @display(description="Payer")
    def payer(self, key: ApiKey) -> str:
        """Whose account pays."""
        return "owner" if key.org_id is None else to_payer("org", key.org_id)

    @display(description="State", label={"good": "success", "expired": "warning", "revoked": "danger"})
    def state(self, key: ApiKey) -> str:
        """Whether the key works, as far as the key itself decides."""
        if key.revoked_at:
            return "revoked"
        return "expired" if key.expires_at and key.expires_at <= timezone.now() else "good"

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[str]:
        """A key stays its owner's."""
        return [] if obj is None else ["owner", "full_prefix", "state", "created_at", "revoked_at", "last_used_at"]

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[str]:
        """What can be typed, then what can only be seen."""
        return [*self.fields, *(name for name in self.get_readonly_fields(request, obj) if name != "owner")]

    @display(description="Key")
    def full_prefix(self, key: ApiKey) -> str:
        """Everything of the key that is no secret."""
        return key.display_prefix

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:  # noqa: FBT001
        """A new key's text is shown in a message: once, to the operator who made it."""
        if change:
            services.save_api_key(obj)
            return
        key, text = services.create_api_key(
            obj.owner, obj.name, org_id=obj.org_id, expires_at=obj.expires_at, allowed_models=obj.allowed_models
        )
        obj.pk = key.pk
        obj.refresh_from_db()
        messages.warning(request, format_html("Copy the key now, it cannot be shown again: {}", identifier(text)))

    @admin.action(description="Revoke keys", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        """Revoke for good, after asking."""
        effect = "Calls with these keys are refused from now on. A revoked key cannot be brought back."
        if page := ask_first(self, request, queryset, "Revoke these keys?", effect):
            return page
        count = services.revoke_api_keys([key.pk for key in queryset])
        self.message_user(request, f"{count} keys revoked.", messages.SUCCESS)
        return None

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Never: revoke it."""
        return False
