"""API keys in the console. A key's text is shown once, when it is made; its digest never."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import display

from apps.accounts import api as accounts
from apps.accounts.api import ApiKey, KeyEnded
from apps.core.console import ask_first, identifier, to_payer
from apps.orgs.selectors import is_member

GRACE = timedelta(days=1)
"""How long a rotated key works on."""


def _show_once(request: HttpRequest, text: str) -> None:
    messages.warning(request, format_html("Copy the key now, it cannot be shown again: {}", identifier(text)))


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


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """Insists that the owner may let the organisation pay: a key of a stranger's would work for nobody."""

    def clean(self) -> dict[str, Any] | None:
        """Look the membership up; the owner of a key that is there is no field."""
        cleaned = super().clean() or self.cleaned_data
        org_id = cleaned.get("org_id")
        owner_id = cleaned["owner"].pk if "owner" in cleaned else self.instance.owner_id
        if org_id is not None and (owner_id is None or not is_member(org_id, owner_id)):
            self.add_error("org_id", "The owner is not a member of such an organisation.")
        return cleaned


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):
    """Keys are made and revoked; they are never deleted, because usage names them."""

    form = ApiKeyForm
    list_display = ["name", "prefix", "owner", "payer", "state", "created_at", "expires_at", "last_used_at"]
    list_filter = [StateFilter, "created_at"]
    list_select_related = ["owner"]
    search_fields = ["name", "id", "owner__username", "owner__email", "org_id"]
    date_hierarchy = "created_at"
    autocomplete_fields = ["owner"]
    fields = ["name", "owner", "org_id", "scopes", "allowed_models", "allowed_networks", "budget", "expires_at"]
    actions = ["rotate", "revoke"]

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
        if obj is None:
            return []
        return ["owner", "full_prefix", "state", "replaced_by", "created_at", "revoked_at", "last_used_at"]

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
            accounts.save_api_key(obj)
            return
        limits = {name: getattr(obj, name) for name in accounts.KEY_FIELDS if name != "name"}
        key, text = accounts.create_api_key(obj.owner, obj.name, **limits)
        obj.pk = key.pk
        obj.refresh_from_db()
        _show_once(request, text)

    @admin.action(description="Rotate keys", permissions=["change"])
    def rotate(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        """Replace by new keys, after asking; each new text is shown in a message, once."""
        effect = "Each key is replaced by a new one like it, which is shown once. The old one works for one more day."
        if page := ask_first(self, request, queryset, "Rotate these keys?", effect):
            return page
        for key in queryset:
            try:
                _, text = accounts.rotate_api_key(key.pk, GRACE)
            except KeyEnded as error:
                self.message_user(request, f"{key}: {error}", messages.ERROR)
            else:
                _show_once(request, text)
        return None

    @admin.action(description="Revoke keys", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        """Revoke for good, after asking."""
        effect = "Calls with these keys are refused from now on. A revoked key cannot be brought back."
        if page := ask_first(self, request, queryset, "Revoke these keys?", effect):
            return page
        count = accounts.revoke_api_keys([key.pk for key in queryset])
        self.message_user(request, f"{count} keys revoked.", messages.SUCCESS)
        return None

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Never: revoke it."""
        return False
