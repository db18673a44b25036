"""The catalogue in the console. Everything is written through the services, so that every gateway follows."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminPasswordWidget

from apps.core.console import ask_first
from apps.core.sealing import key_id_of
from apps.core.units import MICRO
from apps.providers import services
from apps.providers.models import Model, Price, Provider, Upstream
from apps.providers.selectors import present_price

PRICED_FIELDS = [
    "input_weight", "cached_input_weight", "output_weight",
    "input_price", "cached_input_price", "output_price", "currency",
]  # fmt: skip


@admin.action(description="Enable", permissions=["change"])
def enable(page: Any, request: HttpRequest, queryset: QuerySet[Any]) -> None:
    """Let calls reach the chosen rows again."""
    count = services.switch(page.model, [row.pk for row in queryset], enabled=True)
    page.message_user(request, f"{count} enabled.", messages.SUCCESS)


@admin.action(description="Disable", permissions=["change"])
def disable(page: Any, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
    """Keep calls away from the chosen rows, after asking."""
    effect = "Every gateway follows within a second; calls that have left already are finished and charged."
    question = f"Disable these {page.opts.verbose_name_plural}?"
    if answer := ask_first(page, request, queryset, question, effect):
        return answer
    count = services.switch(page.model, [row.pk for row in queryset], enabled=False)
    page.message_user(request, f"{count} disabled.", messages.SUCCESS)
    return None


@admin.register(Provider)
class ProviderAdmin(ModelAdmin):
    """Who runs models, and which request parameters may pass to them."""

    list_display = ["name", "slug", "dialect", "enabled"]
    list_filter = ["enabled", "dialect"]
    search_fields = ["name", "slug"]
    actions = [enable, disable]

    def get_readonly_fields(self, request: HttpRequest, obj: Provider | None = None) -> list[str]:
        """The slug is part of every account's id."""
        return [] if obj is None else ["slug"]

    def save_model(self, request: HttpRequest, obj: Provider, form: Any, change: bool) -> None:  # noqa: FBT001
        """Through the service."""
        services.save(obj)

    def delete_model(self, request: HttpRequest, obj: Provider) -> None:
        """Through the service."""
        services.delete(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Provider]) -> None:
        """Through the service, one by one."""
        for row in queryset:
            services.delete(row)


class UpstreamForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """The credential can be written here, never read."""

    new_credential = forms.CharField(
        required=False,
        max_length=4000,
        widget=UnfoldAdminPasswordWidget(render_value=False, attrs={"autocomplete": "new-password"}),
        help_text="Replaces the stored credential. Left empty, that stays as it is. It is never shown again.",
    )


@admin.register(Upstream)
class UpstreamAdmin(ModelAdmin):
    """Addresses of providers."""

    form = UpstreamForm
    list_display = ["name", "provider", "base_url", "credential", "enabled"]
    list_filter = ["enabled", "provider"]
    list_select_related = ["provider"]
    search_fields = ["name", "base_url"]
    readonly_fields = ["credential"]
    actions = [enable, disable]
    fieldsets = [
        (None, {"fields": ["provider", "name", "base_url", "enabled"]}),
        ("Credential", {"fields": ["credential", "new_credential"]}),
        ("Limits", {"fields": ["connect_timeout_ms", "first_byte_timeout_ms", "deadline_ms", "forward_headers"]}),
    ]

    @display(description="Credential")
    def credential(self, upstream: Upstream) -> str:
        """Whether there is one, and which key sealed it."""
        sealed = upstream.sealed_credential
        return "not set" if sealed is None else f"set, sealed with key {key_id_of(bytes(sealed))}"

    def save_model(self, request: HttpRequest, obj: Upstream, form: Any, change: bool) -> None:  # noqa: FBT001
        """Through the service, which seals a new credential."""
        services.save_upstream(obj, form.cleaned_data["new_credential"])

    def delete_model(self, request: HttpRequest, obj: Upstream) -> None:
        """Through the service."""
        services.delete(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Upstream]) -> None:
        """Through the service, one by one."""
        for row in queryset:
            services.delete(row)


@admin.register(Model)
class ModelAdminPage(ModelAdmin):
    """What callers may name. A model that was priced is disabled rather than deleted."""

    list_display = ["name", "provider", "kind", "encoding", "window", "priced", "enabled"]
    list_filter = ["enabled", "provider", "kind"]
    list_select_related = ["provider"]
    search_fields = ["name", "upstream_name"]
    date_hierarchy = "created_at"
    readonly_fields = ["created_at"]
    actions = [enable, disable]
    actions_row = ["new_price"]
    actions_detail = ["new_price"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        """With whether a price is in force, in the same query."""
        rows: QuerySet[Model] = super().get_queryset(request)
        return rows.annotate(has_price=Exists(Price.objects.filter(model=OuterRef("pk"), starts_at__lte=Now())))

    @display(description="Context (tokens)", ordering="context_window")
    def window(self, model: Model) -> str:
        """Context window with separators."""
        return f"{model.context_window:,}"

    @display(description="Priced", boolean=True)
    def priced(self, model: Any) -> bool:
        """Whether it can be called: without a price it cannot."""
        return bool(model.has_price)

    @action(description="New price", permissions=["price"], icon="sell")
    def new_price(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To the form of a new price, filled in with the present one."""
        return HttpResponseRedirect(f"{reverse('admin:providers_price_add')}?model={object_id}")

    def has_price_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Who may add a price. (Naming the permission in the action would ask the database in ``manage.py check``.)"""
        return _may_price(request)

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:  # noqa: FBT001
        """Through the service."""
        services.save(obj)

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        """Through the service."""
        services.delete(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> None:
        """Through the service, one by one."""
        for row in queryset:
            services.delete(row)


def _may_price(request: HttpRequest) -> bool:
    return request.user.has_perm("providers.add_price")


@admin.register(Price)
class PriceAdmin(ModelAdmin):
    """Prices. One that has started is history: it can be read, and followed by another."""

    list_display = ["model", "starts_at", "state", "money_in", "money_cached", "money_out", "weights"]
    list_filter = ["model__provider", "currency"]
    list_select_related = ["model"]
    search_fields = ["model__name", "id"]
    date_hierarchy = "starts_at"
    autocomplete_fields = ["model"]
    actions_detail = ["follow"]
    fieldsets = [
        (None, {"fields": ["model", "starts_at", "currency"]}),
        ("Money", {"fields": ["input_price", "cached_input_price", "output_price"]}),
        ("Weights", {"fields": ["input_weight", "cached_input_weight", "output_weight"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Price]:
        """With whether another price has taken over, in the same query."""
        later = Price.objects.filter(model=OuterRef("model"), starts_at__gt=OuterRef("starts_at"), starts_at__lte=Now())
        rows: QuerySet[Price] = super().get_queryset(request)
        return rows.annotate(is_followed=Exists(later))

    @display(description="State", label={"in force": "success", "to come": "info", "history": "default"})
    def state(self, price: Any) -> str:
        """Where the price stands in time."""
        if price.starts_at > timezone.now():
            return "to come"
        return "history" if price.is_followed else "in force"

    @display(description="Input, per million", ordering="input_price")
    def money_in(self, price: Price) -> str:
        """Money for fresh input."""
        return _money(price.input_price, price.currency)

    @display(description="Cached input", ordering="cached_input_price")
    def money_cached(self, price: Price) -> str:
        """Money for cached input."""
        return _money(price.cached_input_price, price.currency)

    @display(description="Output", ordering="output_price")
    def money_out(self, price: Price) -> str:
        """Money for output."""
        return _money(price.output_price, price.currency)

    @display(description="Weights (milli-tokens)")
    def weights(self, price: Price) -> str:
        """Weights of input, cached input and output."""
        return f"{price.input_weight} · {price.cached_input_weight} · {price.output_weight}"

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """The present price of ``?model=``, starting now."""
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        now = timezone.now()
        model = Model.objects.filter(pk=request.GET["model"]).first() if "model" in request.GET else None
        present = model and present_price(model.pk, now)
        return (
            {name: getattr(present, name) for name in PRICED_FIELDS if present}
            | initial
            | {"starts_at": now.replace(microsecond=0)}
        )

    @action(description="Change from now on", permissions=["price"], icon="sell")
    def follow(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To the form of the price that follows."""
        model_id = Price.objects.values_list("model", flat=True).get(pk=object_id)
        return HttpResponseRedirect(f"{reverse('admin:providers_price_add')}?model={model_id}")

    def has_price_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Who may add a price. (Naming the permission in the action would ask the database in ``manage.py check``.)"""
        return _may_price(request)

    def save_model(self, request: HttpRequest, obj: Price, form: Any, change: bool) -> None:  # noqa: FBT001
        """Through the service, which sees to it that history is not written anew."""
        services.save_price(obj)

    def delete_model(self, request: HttpRequest, obj: Price) -> None:
        """Through the service."""
        services.delete_price(obj)

    def has_change_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        """Not a price that has started."""
        return bool(super().has_change_permission(request, obj)) and not _has_started(obj)

    def has_delete_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        """Not a price that has started."""
        return bool(super().has_delete_permission(request, obj)) and not _has_started(obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Prices are taken back one by one."""
        return {name: chosen for name, chosen in super().get_actions(request).items() if name != "delete_selected"}


def _has_started(price: Price | None) -> bool:
    return price is not None and price.starts_at <= timezone.now()


def _money(micro: int, currency: str) -> str:
    return f"{micro / MICRO:,.6g} {currency}"
