"""The console's title and menu: settings of Unfold, the admin's theme."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static

MENU = (
    ("Money", (
        ("Accounts", "account_balance", "quotas", "account",
         "Balances of every payer; suspend and reopen"),
        ("Orders", "order_approve", "quotas", "order",
         "Give and take tokens; approve what others order"),
        ("Holds", "hourglass_top", "quotas", "hold",
         "Calls: what was set aside, and what was charged"),
        ("Transfers", "receipt_long", "quotas", "transfer",
         "The ledger, entry by entry; nobody edits it"),
        ("Explain", "contact_support", "quotas", "explainedrequest",
         "Why a call was refused, or what it cost"),
        ("Lots", "layers", "quotas", "lot",
         "Grants, what remains of them, and when they expire"),
        ("Leases", "swap_horiz", "quotas", "lease",
         "Tokens lent to the quota store to spend"),
        ("Budgets", "savings", "quotas", "budget",
         "What keys and members have spent of theirs"),
    )),
    ("Catalogue", (
        ("Models", "neurology", "providers", "model",
         "What callers may name; enable and disable"),
        ("Prices", "sell", "providers", "price",
         "Weights and money, from a moment on"),
        ("Providers", "hub", "providers", "provider",
         "Who runs models, and what may pass to them"),
        ("Upstreams", "dns", "providers", "upstream",
         "Addresses, credentials and timeouts"),
    )),
    ("Callers", (
        ("Users", "person", "accounts", "user",
         "Who signs in and owns keys"),
        ("Roles", "badge", "accounts", "role",
         "What users may do, and the tier of a role's name"),
        ("Sessions", "devices", "accounts", "session",
         "Where users are signed in"),
        ("Lock-outs", "lock_clock", "axes", "accessattempt",
         "Wrong passwords; let somebody in again"),
        ("API keys", "key", "accounts", "apikey",
         "Make and revoke keys"),
        ("Organisations", "apartment", "orgs", "organisation",
         "Payers with members"),
        ("Members", "groups", "orgs", "membership",
         "Who may let which organisation pay"),
        ("Invitations", "mail", "orgs", "invitation",
         "Offers of membership; revoke them"),
        ("Tiers", "speed", "orgs", "tier",
         "Buckets, leak rates and default caps"),
        ("Assigned tiers", "assignment_ind", "orgs", "tierassignment",
         "Which payer has which tier, until when"),
        ("Groups", "admin_panel_settings", "auth", "group",
         "Permissions of operators"),
    )),
    ("System", (
        ("Ledger", "lock_open", "quotas", "control",
         "Its generation; let leases close again"),
        ("Spools", "storage", "quotas", "spool",
         "Gateways' files of calls under way; write off lost ones"),
        ("Sealed days", "verified", "quotas", "dayseal",
         "Each day's transfers under one digest"),
        ("Dead events", "report", "quotas", "deadevent",
         "Entries that could not be booked; replay or discard"),
        ("Audit trail", "history", "audit", "entry",
         "Who changed what, when, and why"),
        ("Events", "outbox", "outbox", "outboxevent",
         "What was told to the rest of the company"),
        ("Configuration", "published_with_changes", "config", "configversion",
         "What every gateway should know by now"),
    )),
)  # fmt: skip
"""Groups of the menu: title, symbol, app and model of each entry, and what the first page says about it."""


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The menu's groups, with what is registered in this process and may be seen by this operator."""
    from django.contrib import admin  # noqa: PLC0415 (settings import this module before the apps are ready)

    shown = {
        (app["app_label"], model["object_name"].lower()): model["admin_url"]
        for app in admin.site.get_app_list(request)
        for model in app["models"]
        if model["admin_url"]
    }
    groups = (
        (title, [_entry(entry, shown[entry[2:4]]) for entry in entries if entry[2:4] in shown])
        for title, entries in MENU
    )
    return [{"title": title, "separator": True, "items": items} for title, items in groups if items]


def _entry(entry: tuple[str, str, str, str, str], link: str) -> dict[str, str]:
    title, icon, _app, _model, about = entry
    return {"title": title, "icon": icon, "link": link, "about": about}


def stylesheet(_request: HttpRequest) -> str:
    """Where our few rules beside the theme's are served; asked per request, because its name has a digest."""
    return static("core/console.css")


DROP = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'%3E"
    "%3Cpath fill='%239333ea' d='M12 2s7 8 7 13a7 7 0 0 1-14 0c0-5 7-13 7-13z'/%3E%3C/svg%3E"
)
"""A drop, for the browser's tab."""


UNFOLD = {
    "SITE_TITLE": "Leaky Tokens",
    "SITE_HEADER": "Leaky Tokens",
    "SITE_SUBHEADER": "Operators' console",
    "SITE_SYMBOL": "water_drop",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": DROP}],
    "STYLES": [stylesheet],
    "SITE_URL": None,
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "BORDER_RADIUS": "6px",
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": "leaky_tokens.console.navigation",
    },
}
