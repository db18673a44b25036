"""The console's page that tells what became of a request."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from unfold.admin import ModelAdmin

from apps.core.console import HistoryAdmin
from apps.quotas.explain import explain
from apps.quotas.models import ExplainedRequest


@admin.register(ExplainedRequest)
class ExplainAdmin(HistoryAdmin, ModelAdmin):
    """One field to search by, and the story below it. There are no rows to list."""

    def get_urls(self) -> list[URLPattern]:
        """The page itself and nothing below it."""
        page = self.admin_site.admin_view(self.changelist_view)
        return [path("", page, name=f"{self.opts.app_label}_{self.opts.model_name}_changelist")]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """The page; with ``q`` what became of that request.

        Raises:
            PermissionDenied: the operator may not see calls.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        term = request.GET.get("q", "").strip()
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Explain a request",
            "term": term,
            "calls": explain(term) if term else [],
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/explain.html", context)
