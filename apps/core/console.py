"""What the admin pages of all apps share: asking before an action that callers will feel."""

from typing import Any

from django.contrib.admin import ModelAdmin, helpers
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse


def ask_first(
    admin: "ModelAdmin[Any]", request: HttpRequest, rows: QuerySet[Any], question: str, effect: str
) -> TemplateResponse | None:
    """The page that names the chosen rows and asks; None once the operator has confirmed on it.

    ``question`` is the page's title, ``effect`` one sentence about what callers will see.
    """
    if "confirmed" in request.POST:
        return None
    context = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "title": question,
        "effect": effect,
        "rows": rows,
        "action": request.POST["action"],
        "checkbox": helpers.ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, "admin/ask_first.html", context)
