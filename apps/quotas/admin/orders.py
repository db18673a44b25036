"""Orders of tokens in the console: one operator orders, for much another one approves."""

from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from unfold.decorators import display

from apps.core.console import ask_first, ending, to_payer, to_row, to_rows
from apps.core.errors import LeakyError
from apps.orgs.api import is_organisation
from apps.providers.api import catalogue
from apps.quotas import orders
from apps.quotas.admin.ledger import LedgerAdmin, as_uuid, tokens
from apps.quotas.domain import account_id
from apps.quotas.models import Account, Order

WISH = ("kind", "payer_kind", "payer_id", "provider", "tokens", "reason", "expires_at")
SAID = {
    Order.Status.DONE: (messages.SUCCESS, "Done: {}."),
    Order.Status.APPROVED: (messages.WARNING, "Approved, and not done yet: {}."),
    Order.Status.PENDING: (messages.WARNING, "Waiting for a second person's approval: {}."),
    Order.Status.REJECTED: (messages.SUCCESS, "Rejected: {}."),
    Order.Status.EXPIRED: (messages.ERROR, "Its time was over: {}."),
    Order.Status.FAILED: (messages.ERROR, "Failed: {}."),
}


def orders_by(term: str) -> Q:
    """By the id of the order, the account or the payer, or by who ordered."""
    found = as_uuid(term)
    return Q(id=found) | Q(account_id=found) | Q(payer_id=found) if found else Q(requester=term)


class OrderForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """Insists that payer, account and amount make sense."""

    class Meta:
        model = Order
        fields = WISH

    def clean(self) -> dict[str, Any] | None:
        """What the order itself insists on, and that there is somebody whom it is for."""
        cleaned = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        wish = orders.Wish(**{name: cleaned[name] for name in WISH})
        try:
            wish.check()
        except ValueError as error:
            self.add_error("tokens" if "within" in str(error) else "expires_at", str(error).capitalize() + ".")
        if wish.expires_at is not None and wish.expires_at <= timezone.now():
            self.add_error("expires_at", "This is over already.")
        if not _has_account(wish):
            self._insist_on_a_payer(wish)
        return cleaned

    def _insist_on_a_payer(self, wish: orders.Wish) -> None:
        """Only a gift opens an account, and only that of somebody with a provider that is there."""
        if wish.kind == orders.REVOKE or wish.tokens < 0:
            self.add_error("payer_id", "This payer has no account with that provider.")
        elif not _exists(wish.payer_kind, wish.payer_id):
            self.add_error("payer_id", "There is no such payer.")
        elif wish.provider not in catalogue().providers:
            self.add_error("provider", "There is no such provider.")


def _has_account(wish: orders.Wish) -> bool:
    return Account.objects.filter(id=account_id(wish.payer_kind, wish.payer_id, wish.provider)).exists()


def _exists(payer_kind: str, payer_id: UUID) -> bool:
    if payer_kind == "org":
        return is_organisation(payer_id)
    return bool(get_user_model()._default_manager.filter(pk=payer_id).exists())  # noqa: SLF001


@admin.register(Order)
class OrderAdmin(LedgerAdmin):
    """What was ordered, by whom, and what became of it. Ordering is all that is typed; the rest is actions."""

    form = OrderForm
    matching = staticmethod(orders_by)
    search_fields: ClassVar = ["id"]
    search_help_text = "Id of an order, account or payer, or who ordered"
    list_display = (
        "requested_at", "state", "kind", "wanted", "account", "reason", "requester", "decider", "outcome",
    )  # fmt: skip
    list_filter: ClassVar = ["status", "kind", "provider", "requested_at"]
    list_select_related: ClassVar = ["decided_by"]
    date_hierarchy = "requested_at"
    actions: ClassVar = ["approve", "reject"]
    wanted = staticmethod(tokens("tokens"))
    moved_tokens = staticmethod(tokens("moved"))

    @display(
        description="state",
        ordering="status",
        label={
            "PENDING": "warning", "APPROVED": "info", "DONE": "success", "REJECTED": "danger", "EXPIRED": "default",
            "FAILED": "danger",
        },
    )  # fmt: skip
    def state(self, order: Order) -> str:
        """Where the order stands."""
        return order.status

    @display(description="account", ordering="account_id")
    def account(self, order: Order) -> str:
        """The way to the account, or to the payer while there is none."""
        label = f"{order.provider}, {order.payer_kind} {ending(order.payer_id)}"
        return to_rows("quotas_account", order.account_id, label)

    @display(description="payer")
    def payer(self, order: Order) -> str:
        """The way to whoever it is for."""
        return to_payer(order.payer_kind, order.payer_id)

    @display(description="decided by", ordering="decided_by")
    def decider(self, order: Order) -> str:
        """The second person, where there was one."""
        return order.decided_by.get_username() if order.decided_by else "-"

    @display(description="ordered by")
    def orderer(self, order: Order) -> str:
        """The way to whoever ordered it; a command is nobody."""
        by = order.requested_by_id
        return to_row("accounts_user", by, order.requester) if by else order.requester

    @display(description="transfers")
    def transfers(self, order: Order) -> str:
        """The way to the account's transfers."""
        return to_rows("quotas_transfer", order.account_id, "transfers")

    def get_fieldsets(self, request: HttpRequest, obj: Order | None = None) -> list[Any]:
        """What is typed; or what was, and what became of it."""
        if obj is None:
            return [(None, {"fields": WISH})]
        wish = ["id", "kind", "wanted", "payer", "provider", "account", "expires_at", "reason"]
        end = ["state", "moved_tokens", "outcome", "transfers"]
        people = ["orderer", "requested_at", "decider", "decided_at"]
        return [(None, {"fields": wish}), ("Outcome", {"fields": end}), ("People", {"fields": people})]

    def get_readonly_fields(self, request: HttpRequest, obj: Order | None = None) -> list[str]:
        """All of an order that is there."""
        if obj is None:
            return []
        return [name for _, group in self.get_fieldsets(request, obj) for name in group["fields"]]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, str]:
        """What the account's page says of its payer."""
        return {name: request.GET[name] for name in ("payer_kind", "payer_id", "provider") if name in request.GET}

    def has_add_permission(self, request: HttpRequest, obj: Order | None = None) -> bool:
        """Whoever was given the permission to order."""
        return bool(request.user.has_perm("quotas.add_order"))

    def has_approve_permission(self, request: HttpRequest) -> bool:
        """Whoever was given the permission to approve."""
        return bool(request.user.has_perm("quotas.approve_order"))

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """With one button: what was ordered cannot be edited further."""
        one_button = {"show_save_and_add_another": False, "show_save_and_continue": False}
        answer: HttpResponse = super().add_view(request, form_url, {**(extra_context or {}), **one_button})
        return answer

    def save_model(self, request: HttpRequest, obj: Order, form: Any, change: bool) -> None:  # noqa: FBT001
        """Through the service: it is done at once, or waits."""
        wish = orders.Wish(**{name: form.cleaned_data[name] for name in WISH}, id=obj.id)
        made = orders.order(wish, by=request.user.pk, name=request.user.get_username())
        obj.refresh_from_db()
        _say(request, made)

    def response_add(self, request: HttpRequest, obj: Order, post_url_continue: str | None = None) -> HttpResponse:
        """To the list, with what became of the order; "was added successfully" would say too much."""
        return redirect("admin:quotas_order_changelist")

    @admin.action(description="Approve", permissions=["approve"])
    def approve(self, request: HttpRequest, queryset: QuerySet[Order]) -> HttpResponse | None:
        """Have others' orders done, after asking."""
        effect = "The tokens are given or taken at once. You cannot approve what you ordered yourself."
        if page := ask_first(self, request, queryset, "Approve these orders?", effect):
            return page
        for order in queryset:
            _decide(request, order, orders.approve)
        return None

    @admin.action(description="Reject", permissions=["approve"])
    def reject(self, request: HttpRequest, queryset: QuerySet[Order]) -> HttpResponse | None:
        """Have others' orders not done, after asking."""
        effect = "Nothing is given or taken. You cannot reject what you ordered yourself."
        if page := ask_first(self, request, queryset, "Reject these orders?", effect):
            return page
        for order in queryset:
            _decide(request, order, orders.reject)
        return None


def _decide(request: HttpRequest, order: Order, decision: Any) -> None:
    """Do it, and say what became of it."""
    try:
        _say(request, decision(order.id, request.user.pk))
    except LeakyError as error:
        messages.error(request, f"{order}: {error}")


def _say(request: HttpRequest, order: Order) -> None:
    level, sentence = SAID[Order.Status(order.status)]
    outcome = f" ({order.outcome})" if order.outcome else ""
    messages.add_message(request, level, sentence.format(f"{order}{outcome}"))
