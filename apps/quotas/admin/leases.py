"""What accounts have to spend and where it is: lots, leases and budgets. Read only for everybody."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q
from django.utils.html import format_html
from unfold.decorators import display

from apps.core.console import ending, identifier, to_payer, to_row, to_rows
from apps.quotas.admin.ledger import LedgerAdmin, account_link, as_uuid, tokens
from apps.quotas.models import Budget, Lease, Lot

MEMBER = "member:"


def rows_by(term: str) -> Q:
    """Lots or leases by their own id or their account's."""
    found = as_uuid(term)
    return Q(id=found) | Q(account_id=found) if found else Q(pk__in=[])


def budgets_by(term: str) -> Q:
    """A key's by its id, members' by their organisation's, or organisation's and user's, as in a budget's own id."""
    return Q(id=term) | Q(id__startswith=f"{MEMBER}{term}")


@admin.register(Lot)
class LotAdmin(LedgerAdmin):
    """Grants, and what remains of each: what expires first is spent first."""

    matching = staticmethod(rows_by)
    search_fields: ClassVar = ["id"]
    search_help_text = "Account id, or id of a grant or order"
    list_display = ("made_at", "kind", "account_link", "given_tokens", "remaining_tokens", "expires_at", "number")
    list_filter: ClassVar = ["kind", "open", "expires_at"]
    list_select_related: ClassVar = ["account"]
    ordering = ("-made_at",)
    fields = ("id", "account_link", "kind", "given_tokens", "remaining_tokens", "made_at", "expires_at", "transfers")
    readonly_fields = fields
    account_link = staticmethod(account_link)
    given_tokens = staticmethod(tokens("tokens"))
    remaining_tokens = staticmethod(tokens("remaining"))

    @display(description="lot", ordering="id")
    def number(self, lot: Lot) -> str:
        """The end of the lot's id, which is its grant's."""
        return ending(lot.id)

    @display(description="transfers")
    def transfers(self, lot: Lot) -> str:
        """The way to the account's transfers."""
        return to_rows("quotas_transfer", lot.account_id, "transfers")


@admin.register(Lease)
class LeaseAdmin(LedgerAdmin):
    """Tokens that accounts have given to the quota store to spend."""

    matching = staticmethod(rows_by)
    search_fields: ClassVar = ["id"]
    search_help_text = "Account id or lease id"
    list_display = (
        "opened_at", "state_label", "account_link", "epoch", "granted_tokens", "settled_tokens", "returned_tokens",
        "out_tokens", "why",
    )  # fmt: skip
    list_filter: ClassVar = ["state", "opened_at"]
    list_select_related: ClassVar = ["account"]
    ordering = ("-opened_at",)
    fieldsets: ClassVar = [
        (None, {"fields": ["id", "account_link", "epoch", "generation", "run_id", "state_label", "why"]}),
        ("Tokens", {"fields": ["granted_tokens", "settled_tokens", "returned_tokens", "out_tokens"]}),
        ("Times", {"fields": ["opened_at", "used_at", "expires_at", "doubted_at", "closed_at"]}),
        ("Closing waits for", {"fields": ["journal", "entry"]}),
    ]
    readonly_fields = (
        "account_link", "state_label", "why", "granted_tokens", "settled_tokens", "returned_tokens", "out_tokens",
    )  # fmt: skip
    account_link = staticmethod(account_link)
    granted_tokens = staticmethod(tokens("granted"))
    settled_tokens = staticmethod(tokens("settled"))
    returned_tokens = staticmethod(tokens("returned"))

    @display(description="state", ordering="state", label={"OPEN": "success", "DOUBT": "warning", "CLOSED": "default"})
    def state_label(self, lease: Lease) -> str:
        """Where the lease stands."""
        return lease.state

    @display(description="out")
    def out_tokens(self, lease: Lease) -> str:
        """What is neither spent nor back."""
        return f"{lease.granted - lease.settled - lease.returned:,}"

    @display(description="doubt")
    def why(self, lease: Lease) -> str:
        """What put it in doubt."""
        return lease.doubt or "-"


@admin.register(Budget)
class BudgetAdmin(LedgerAdmin):
    """What keys and members with a budget hold, have out and have spent."""

    matching = staticmethod(budgets_by)
    search_fields: ClassVar = ["id"]
    search_help_text = "A key's id, an organisation's id, or <organisation>:<user>"
    list_display = ("whose", "provider", "since", "held_tokens", "leased_tokens", "spent_tokens", "number")
    list_display_links = ("number",)
    fields = ("full_number", "whose", "provider", "since", "held_tokens", "leased_tokens", "spent_tokens")
    readonly_fields = fields
    held_tokens = staticmethod(tokens("held"))
    leased_tokens = staticmethod(tokens("leased"))
    spent_tokens = staticmethod(tokens("spent"))

    @display(description="whose", ordering="id")
    def whose(self, budget: Budget) -> str:
        """The way to the key, or to the member and the organisation."""
        parts = _of_member(budget)
        if parts is None:
            return to_row("accounts_apikey", budget.id, f"key {budget.id}")
        org, user, _, _ = parts
        return format_html("{} in {}", to_payer("user", user), to_payer("org", org))

    @display(description="provider")
    def provider(self, budget: Budget) -> str:
        """Whose tokens it counts."""
        parts = _of_member(budget)
        return "all" if parts is None or parts[2] == "*" else parts[2]

    @display(description="window from")
    def since(self, budget: Budget) -> str:
        """The first day of the window that it counts; a key's is for its whole life."""
        parts = _of_member(budget)
        return "-" if parts is None else parts[3]

    @display(description="budget", ordering="id")
    def number(self, budget: Budget) -> str:
        """The end of its id."""
        return ending(budget.id)

    @display(description="id")
    def full_number(self, budget: Budget) -> str:
        """Its whole id."""
        return identifier(budget.id)


def _of_member(budget: Any) -> tuple[str, str, str, str] | None:
    """Organisation, user, provider and window of a member's budget; None: a key's."""
    if not budget.id.startswith(MEMBER):
        return None
    _, org, user, provider, start = budget.id.split(":")
    return org, user, provider, start
