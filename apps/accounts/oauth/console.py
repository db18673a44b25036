"""OAuth2 clients in the console. A secret is shown once, when it is made; its digest never."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from oauth2_provider.models import AccessToken, IDToken, RefreshToken, get_device_grant_model
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from apps.accounts.models import Application, Grant
from apps.accounts.oauth import clients
from apps.core.console import ask_first, identifier, to_payer
from apps.core.http.caller import SCOPES

for _model in (Application, AccessToken, RefreshToken, IDToken, Grant, get_device_grant_model()):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)  # The library's pages show and change tokens; ours are ended by services.

GRANTS = (
    (Application.GRANT_AUTHORIZATION_CODE, "People sign in (authorization code)"),
    (Application.GRANT_CLIENT_CREDENTIALS, "Acts for itself (client credentials)"),
)


class ClientForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """A client's registration, with its scopes as boxes."""

    allowed_scopes = forms.MultipleChoiceField(
        choices=[(scope, f"{scope}: {words}") for scope, words in SCOPES.items()],
        widget=forms.CheckboxSelectMultiple,
        required=False,
        label="Scopes",
        help_text="What it may ask for. Clients that people sign in with may also ask who they are.",
    )

    class Meta:
        """The fields that operators write."""

        model = Application
        fields = [
            "name", "client_id", "client_type", "authorization_grant_type", "redirect_uris",
            "post_logout_redirect_uris", "allowed_origins", "allowed_scopes", "user", "org_id",
        ]  # fmt: skip
        widgets = {
            name: UnfoldAdminTextareaWidget(attrs={"rows": 3})
            for name in ("redirect_uris", "post_logout_redirect_uris", "allowed_origins")
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "authorization_grant_type" in self.fields:
            self.fields["authorization_grant_type"].choices = GRANTS  # type: ignore[attr-defined]


@admin.register(Application)
class ClientAdmin(ModelAdmin):
    """Clients, registered by operators alone."""

    form = ClientForm
    list_display = ["name", "shown_id", "client_type", "authorization_grant_type", "account", "payer", "created"]
    list_filter = ["client_type", "authorization_grant_type"]
    list_select_related = ["user"]
    search_fields = ["name", "client_id", "user__username", "user__email", "org_id"]
    autocomplete_fields = ["user"]
    date_hierarchy = "created"
    actions = ["rotate_secret"]

    @display(description="Client id")
    def shown_id(self, client: Application) -> str:
        """The public half of its credential."""
        return identifier(client.client_id)

    @display(description="Account")
    def account(self, client: Application) -> str:
        """Whom its own tokens act for."""
        return str(client.user or "none")

    @display(description="Payer")
    def payer(self, client: Application) -> str:
        """Who pays for calls with its own tokens."""
        return "account" if client.org_id is None else to_payer("org", client.org_id)

    def get_readonly_fields(self, request: HttpRequest, obj: Application | None = None) -> list[str]:
        """What a client is does not change: another client does."""
        return [] if obj is None else ["client_id", "client_type", "authorization_grant_type", "created", "updated"]

    def save_model(self, request: HttpRequest, obj: Application, form: Any, change: bool) -> None:  # noqa: FBT001
        """Through the services. A new client's secret is shown in a message: once, to who made it."""
        if change:
            clients.save_client(obj)
        elif secret := clients.create_client(obj):
            self._show_once(request, obj, secret)

    def delete_model(self, request: HttpRequest, obj: Application) -> None:
        """Through the service."""
        clients.delete_client(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Application]) -> None:
        """Through the service, one by one."""
        for client in queryset:
            clients.delete_client(client)

    @admin.action(description="Rotate secrets", permissions=["change"])
    def rotate_secret(self, request: HttpRequest, queryset: QuerySet[Application]) -> HttpResponse | None:
        """New secrets, after asking."""
        confidential = queryset.filter(client_type=Application.CLIENT_CONFIDENTIAL)
        effect = "The old secrets, and the tokens that these clients got for themselves, are refused from now on."
        if page := ask_first(self, request, confidential, "Rotate the secrets of these clients?", effect):
            return page
        for client in confidential:
            self._show_once(request, client, clients.rotate_secret(client))
        return None

    def _show_once(self, request: HttpRequest, client: Application, secret: str) -> None:
        words = "Copy the secret of {} now, it cannot be shown again: {}"
        messages.warning(request, format_html(words, client.name, identifier(secret)))
