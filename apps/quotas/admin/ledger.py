"""The ledger as operators see it: accounts, holds and transfers, linked, and read only for everybody.

What an operator may do to an account is to suspend and to reopen it; tokens are given and taken by orders.
"""

from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from unfold.admin import ModelAdmin
from unfold.decorators import display

from apps.core.console import HistoryAdmin, ask_first, ending, identifier, to_payer, to_row, to_rows
from apps.quotas import api
from apps.quotas.models import Account, Hold, Transfer

MOST_HOLDS = 20
"""Holds that one search follows to their transfers: a request id is a caller's own and may be repeated."""


def tokens(field: str) -> Callable[[Model], str]:
    """A column of tokens with thousands separators, sorted as the numbers that they are."""

    @admin.display(description=field, ordering=field)
    def column(row: Model) -> str:
        return f"{getattr(row, field):,}"

    return column


def rows_of(model: str, label: str, term: Callable[[Any], UUID]) -> Callable[[Any], str]:
    """A column that leads to the list of ``model``, searched for ``term``."""

    @admin.display(description=label)
    def column(row: Any) -> str:
        return to_rows(f"quotas_{model}", term(row), label)

    return column


@admin.display(description="account", ordering="account_id")
def account_link(row: Any) -> str:
    """The way from a hold or a transfer to its account."""
    account = row.account
    return to_row(
        "quotas_account", row.account_id, f"{account.provider}, {account.payer_kind} {ending(account.payer_id)}"
    )


@admin.display(description="request id")
def request_id(row: Any) -> str:
    """The request id of a hold or a transfer, which a caller may have chosen."""
    return identifier(row.request_id) if row.request_id else "-"


def as_uuid(term: str) -> UUID | None:
    """A search term as an id, if it is one."""
    try:
        return UUID(term)
    except ValueError:
        return None


def accounts_by(term: str) -> Q:
    """Accounts by their own id or their payer's."""
    found = as_uuid(term)
    return Q(id=found) | Q(payer_id=found) if found else Q(pk__in=[])


def holds_by(term: str) -> Q:
    """Holds by reservation id, account id or request id."""
    found = as_uuid(term)
    return Q(id=found) | Q(account_id=found) if found else Q(request_id=term)


def transfers_by(term: str) -> Q:
    """By account id, or by the reservation id or request id of their hold: the ways that have an index."""
    account = as_uuid(term)
    found = Q(account_id=account) if account else Q(pk__in=[])
    holds = Q(id=account) if account else Q(request_id=term)
    for hold in Hold.objects.filter(holds).only("account_id", "id")[:MOST_HOLDS]:
        found |= Q(account_id=hold.account_id, ref=hold.id)
    return found


class LedgerAdmin(HistoryAdmin, ModelAdmin):
    """Newest first, searched by whole ids. ``matching`` tells what a search term finds."""

    matching: ClassVar["staticmethod[[str], Q]"]
    ordering = ("-id",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Model], search_term: str
    ) -> tuple[QuerySet[Model], bool]:
        """Exact and by index: a ledger is too long to look into every row."""
        term = search_term.strip()
        return (queryset.filter(self.matching(term)) if term else queryset), False


BALANCES = ("granted", "available", "held", "spent", "pending", "leased", "expired", "refunded", "absorbed")


@admin.register(Account)
class AccountAdmin(LedgerAdmin):
    """Balances by payer and provider."""

    matching = staticmethod(accounts_by)
    search_fields: ClassVar = ["id"]
    search_help_text = "Account id or payer id"
    list_display = (
        "number", "payer", "provider", "state",
        "granted_tokens", "available_tokens", "leased_tokens", "held_tokens", "spent_tokens", "holds",
    )  # fmt: skip
    list_filter: ClassVar = ["provider", "suspended", "payer_kind"]
    fieldsets: ClassVar = [
        (None, {"fields": ["id", "payer", "payer_id", "provider", "state"]}),
        ("Leads to", {"fields": ["order", "orders", "holds", "lots", "leases", "transfers"]}),
        ("Tokens", {"fields": [f"{balance}_tokens" for balance in BALANCES]}),
    ]
    readonly_fields = (
        "payer",
        "state",
        "holds",
        "transfers",
        "orders",
        "order",
        *(f"{balance}_tokens" for balance in BALANCES),
    )
    actions: ClassVar = ["suspend", "reopen"]
    granted_tokens = staticmethod(tokens("granted"))
    available_tokens = staticmethod(tokens("available"))
    held_tokens = staticmethod(tokens("held"))
    spent_tokens = staticmethod(tokens("spent"))
    pending_tokens = staticmethod(tokens("pending"))
    leased_tokens = staticmethod(tokens("leased"))
    expired_tokens = staticmethod(tokens("expired"))
    refunded_tokens = staticmethod(tokens("refunded"))
    absorbed_tokens = staticmethod(tokens("absorbed"))
    holds = staticmethod(rows_of("hold", "holds", lambda account: account.id))
    transfers = staticmethod(rows_of("transfer", "transfers", lambda account: account.id))
    lots = staticmethod(rows_of("lot", "lots", lambda account: account.id))
    leases = staticmethod(rows_of("lease", "leases", lambda account: account.id))
    orders = staticmethod(rows_of("order", "orders", lambda account: account.id))

    @display(description="give or take")
    def order(self, account: Account) -> str:
        """The way to an order for this account."""
        payer = {"payer_kind": account.payer_kind, "payer_id": str(account.payer_id), "provider": account.provider}
        page = f"{reverse('admin:quotas_order_add')}?{urlencode(payer)}"
        return format_html('<a class="leads-to" href="{}">order tokens</a>', page)

    @display(description="account", ordering="id")
    def number(self, account: Account) -> str:
        """The end of the account's id, which is on its page in full."""
        return ending(account.id)

    @display(description="payer")
    def payer(self, account: Account) -> str:
        """The way to whoever pays."""
        return to_payer(account.payer_kind, account.payer_id)

    @display(description="state", ordering="suspended", label={"open": "success", "suspended": "danger"})
    def state(self, account: Account) -> str:
        """Whether new calls are admitted."""
        return "suspended" if account.suspended else "open"

    def has_suspend_permission(self, request: HttpRequest) -> bool:
        """Whoever may change accounts may suspend and reopen them, and nothing else."""
        return bool(request.user.has_perm("quotas.change_account"))

    @admin.action(description="Suspend: refuse new calls", permissions=["suspend"])
    def suspend(self, request: HttpRequest, accounts: QuerySet[Account]) -> HttpResponse | None:
        """Refuse new calls, after asking; calls under way end as usual."""
        effect = "New calls of these accounts are refused until they are reopened; calls under way end as usual."
        if page := ask_first(self, request, accounts, "Suspend these accounts?", effect):
            return page
        for account in accounts:
            api.suspend(account.id)
        self.message_user(request, f"Suspended: {len(accounts)}", messages.SUCCESS)
        return None

    @admin.action(description="Reopen: admit calls again", permissions=["suspend"])
    def reopen(self, request: HttpRequest, accounts: QuerySet[Account]) -> None:
        """The counterpart of suspending."""
        for account in accounts:
            api.reopen(account.id)
        self.message_user(request, f"Reopened: {len(accounts)}", messages.SUCCESS)


@admin.register(Hold)
class HoldAdmin(LedgerAdmin):
    """Calls: what was set aside for each and how that ended."""

    matching = staticmethod(holds_by)
    search_fields: ClassVar = ["id"]
    search_help_text = "Reservation id, request id or account id"
    list_display = (
        "taken_at", "state", "account_link", "call", "held_tokens", "charged_tokens", "absorbed_tokens", "ended_at",
        "transfers",
    )  # fmt: skip
    list_filter: ClassVar = ["status"]
    list_select_related: ClassVar = ["account"]
    fields = (
        "id", "account_link", "call", "state", "held_tokens", "progress_tokens", "charged_tokens",
        "absorbed_tokens", "taken_at", "expires_at", "ended_at", "epoch", "budgets", "facts", "ending", "transfers",
    )  # fmt: skip
    readonly_fields = fields
    account_link = staticmethod(account_link)
    call = staticmethod(request_id)
    held_tokens = staticmethod(tokens("amount"))
    progress_tokens = staticmethod(tokens("progress"))
    charged_tokens = staticmethod(tokens("charged"))
    absorbed_tokens = staticmethod(tokens("absorbed"))
    transfers = staticmethod(rows_of("transfer", "transfers", lambda hold: hold.id))

    @display(
        description="state",
        ordering="status",
        label={"HELD": "info", "SETTLED": "success", "RELEASED": "default", "EXPIRED": "warning"},
    )
    def state(self, hold: Hold) -> str:
        """Where the hold stands."""
        return hold.status


@admin.register(Transfer)
class TransferAdmin(LedgerAdmin):
    """The ledger itself."""

    matching = staticmethod(transfers_by)
    search_fields: ClassVar = ["id"]
    search_help_text = "Account id, reservation id or request id"
    list_display = (
        "at", "code", "tokens", "way", "account_link", "call", "why", "hold",
    )  # fmt: skip
    list_display_links = None
    list_filter: ClassVar = ["code"]
    list_select_related: ClassVar = ["account"]
    account_link = staticmethod(account_link)
    call = staticmethod(request_id)
    tokens = staticmethod(tokens("amount"))

    @display(description="from → to")
    def way(self, transfer: Transfer) -> str:
        """Which balance the tokens left, and which they reached."""
        return f"{transfer.debit} → {transfer.credit}"

    @display(description="why")
    def why(self, transfer: Transfer) -> str:
        """The reason and the actor of what people ordered; a call's transfers need neither."""
        return ", by ".join(filter(None, (transfer.reason, transfer.actor))) or "-"

    @display(description="hold")
    def hold(self, transfer: Transfer) -> str:
        """The way to the call's hold; a transfer without a call has none."""
        return to_rows("quotas_hold", transfer.ref, "hold") if transfer.request_id else "-"
