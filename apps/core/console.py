"""What the admin pages of all apps share: asking before an action that callers will feel, history that nobody edits,
pages of tables too large to count, and ways from one row to another.
"""

from typing import Any, cast

from django.contrib.admin import ModelAdmin, helpers
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html

from apps.core.acting import actor

MOST_COUNTED = 10_000
"""Rows that a list counts at most: beyond it, an operator narrows the search instead of turning pages."""


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Pages without counting a table that only grows."""

    @cached_property
    def count(self) -> int:
        """Rows found, at most :data:`MOST_COUNTED`."""
        rows = cast("QuerySet[Any]", self.object_list)
        return rows.order_by().values("pk")[:MOST_COUNTED].count()


class HistoryAdmin:
    """Mix into a ``ModelAdmin``: read only for everybody, superusers included, and never counted to the end."""

    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody adds: history is written by what happened."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody changes it."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody deletes it."""
        return False


def to_row(page: str, key: Any, label: object) -> str:
    """The way to one row. ``page`` names the model, as in ``orgs_organisation``; other apps are not imported for it."""
    return format_html('<a class="leads-to" href="{}">{}</a>', reverse(f"admin:{page}_change", args=[key]), label)


def to_rows(page: str, term: object, label: object) -> str:
    """The way to the list of ``page``, searched for ``term``."""
    return format_html('<a class="leads-to" href="{}?q={}">{}</a>', reverse(f"admin:{page}_changelist"), term, label)


def to_payer(kind: str, payer_id: Any) -> str:
    """The way to a payer: ``kind`` is ``user`` or ``org``."""
    page, word = ("orgs_organisation", "organisation") if kind == "org" else ("accounts_user", "user")
    return to_row(page, payer_id, f"{word} {ending(payer_id)}")


def ending(key: object) -> str:
    """The end of a UUID, for lists: those of one time begin alike. A word joiner keeps it on one line."""
    return f"…\u2060{str(key)[-12:]}"


def identifier(text: object) -> str:
    """An id or a key, broken where the page ends."""
    return format_html('<span class="identifier">{}</span>', text)


def ask_first(
    admin: "ModelAdmin[Any]",
    request: HttpRequest,
    rows: QuerySet[Any],
    question: str,
    effect: str,
    *,
    reason_needed: bool = False,
) -> TemplateResponse | None:
    """The page that names the chosen rows and asks; None once the operator has confirmed on it.

    ``question`` is the page's title, ``effect`` one sentence about what callers will see. ``reason_needed``: without
    one, it asks again.
    """
    if "confirmed" in request.POST and (actor().reason or not reason_needed):
        return None
    context = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "title": question,
        "effect": effect,
        "rows": rows,
        "action": request.POST["action"],
        "checkbox": helpers.ACTION_CHECKBOX_NAME,
        "reason_needed": reason_needed,
    }
    return TemplateResponse(request, "admin/ask_first.html", context)
