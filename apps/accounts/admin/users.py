"""Users, roles and operators' groups in the console."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from apps.accounts import services
from apps.accounts.models import Role, Session, User
from apps.accounts.sessions import end_all
from apps.core.console import HistoryAdmin, ask_first, to_rows

admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """Operators' permissions, by group."""


@admin.register(Role)
class RoleAdmin(ModelAdmin):
    """Roles. Their users' tokens name them, so a role keeps its name and is deleted only when nobody has it."""

    list_display = ["name", "description", "number_of_users"]
    search_fields = ["name", "description"]

    @display(description="Users")
    def number_of_users(self, role: Role) -> int:
        """How many have it."""
        return role.users.count()

    def get_readonly_fields(self, request: HttpRequest, obj: Role | None = None) -> list[str]:
        """The name stays."""
        return [] if obj is None else ["name"]

    def has_delete_permission(self, request: HttpRequest, obj: Role | None = None) -> bool:
        """Only while nobody has it, and never in a heap."""
        return obj is not None and not obj.users.exists() and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Role, form: Any, change: bool) -> None:  # noqa: FBT001
        """Through the service."""
        services.save_role(obj)

    def delete_model(self, request: HttpRequest, obj: Role) -> None:
        """Through the service."""
        services.delete_role(obj)


@admin.register(Session)
class SessionAdmin(HistoryAdmin, ModelAdmin):
    """Where users are signed in, and were lately. An operator ends them all at once, on the list of users."""

    list_display = ["user", "kind", "ip", "user_agent", "created_at", "last_seen_at", "ended_at"]
    list_filter = ["kind"]
    list_select_related = ["user"]
    search_fields = ["user__id", "user__username", "user__email", "ip"]
    fields = [*list_display, "expires_at"]


class PasswordForm(AdminPasswordChangeForm):
    """An operator sets a password."""

    def save(self, commit: bool = True) -> User:  # noqa: FBT001, FBT002 (Django's)
        """Through the service, so that the user is signed out everywhere."""
        user: User = super().save(commit=False)
        if commit:
            services.save_user(user)
        return user


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Users. One who has owned a key is made inactive rather than deleted."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = PasswordForm
    list_display = ["username", "email", "kind", "role_names", "is_active", "is_staff", "is_superuser", "last_login"]
    list_filter = ["kind", "roles", "is_active", "is_staff", "is_superuser"]
    search_fields = ["username", "email", "first_name", "last_name", "id"]
    date_hierarchy = "date_joined"
    readonly_fields = ["id", "email_verified_at", "sessions", "last_login", "date_joined"]
    filter_horizontal = ["roles", "groups", "user_permissions"]
    actions = ["sign_out_everywhere"]
    fieldsets = [
        (None, {"fields": ["id", "username", "password", "email", "email_verified_at", "first_name", "last_name"]}),
        ("May do", {"fields": ["kind", "roles", "is_active", "sessions"]}),
        ("In this console", {"fields": ["is_staff", "is_superuser", "groups", "user_permissions"]}),
        ("Dates (UTC)", {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [
        (
            None,
            {
                "classes": ["wide"],
                "fields": ["username", "email", "kind", "usable_password", "password1", "password2"],
            },
        )
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """With their roles, for the list."""
        return super().get_queryset(request).prefetch_related("roles")

    @display(description="Roles")
    def role_names(self, user: User) -> str:
        """Names of the user's roles."""
        return ", ".join(role.name for role in user.roles.all())

    @display(description="Sessions")
    def sessions(self, user: User) -> str:
        """The way to them."""
        return to_rows("accounts_session", user.pk, "Where the user is signed in")

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:  # noqa: FBT001
        """Through the service, so that gateways forget who the user was."""
        services.save_user(obj)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001
        """Roles through the service, the rest as the form does it."""
        roles = form.cleaned_data.pop("roles", None)
        super().save_related(request, form, formsets, change)
        if roles is not None:
            services.set_roles(form.instance, roles)

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        """Through the service."""
        services.delete_user(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Through the service, one by one."""
        for user in queryset:
            services.delete_user(user)

    @admin.action(description="Sign out everywhere", permissions=["change"])
    def sign_out_everywhere(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        """End all sessions and tokens of users, after asking."""
        effect = "Their sessions and tokens end within a second, in browsers and applications. API keys go on working."
        if page := ask_first(self, request, queryset, "Sign these users out everywhere?", effect):
            return page
        ended = sum(end_all(user.pk, reason="by an operator") for user in queryset)
        self.message_user(request, f"{ended} sessions ended.", messages.SUCCESS)
        return None
