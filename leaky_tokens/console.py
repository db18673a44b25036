"""The console's title and menu: settings of Unfold, the admin's theme."""

from typing import Any

from django.http import HttpRequest

MENU = (
    ("Money", (
        ("Accounts", "account_balance", "quotas", "account"),
        ("Holds", "hourglass_top", "quotas", "hold"),
        ("Transfers", "receipt_long", "quotas", "transfer"),
    )),
    ("Catalogue", (
        ("Models", "neurology", "providers", "model"),
        ("Prices", "sell", "providers", "price"),
        ("Providers", "hub", "providers", "provider"),
        ("Upstreams", "dns", "providers", "upstream"),
    )),
    ("Callers", (
        ("Users", "person", "accounts", "user"),
        ("API keys", "key", "accounts", "apikey"),
        ("Organisations", "apartment", "orgs", "organisation"),
        ("Tiers", "speed", "orgs", "tier"),
        ("Assigned tiers", "assignment_ind", "orgs", "tierassignment"),
        ("Groups", "admin_panel_settings", "auth", "group"),
    )),
    ("System", (
        ("Events", "outbox", "outbox", "event"),
        ("Configuration", "published_with_changes", "config", "configversion"),
    )),
)  # fmt: skip
"""Groups of the menu: title, symbol, app and model of each entry."""


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
        (title, [_entry(entry[:2], shown[entry[2:]]) for entry in entries if entry[2:] in shown])
        for title, entries in MENU
    )
    return [{"title": title, "separator": True, "items": items} for title, items in groups if items]


def _entry(face: tuple[str, str], link: str) -> dict[str, str]:
    title, icon = face
    return {"title": title, "icon": icon, "link": link}


UNFOLD = {
    "SITE_TITLE": "Leaky Tokens",
    "SITE_HEADER": "Leaky Tokens",
    "SITE_SUBHEADER": "Operators' console",
    "SITE_SYMBOL": "water_drop",
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
