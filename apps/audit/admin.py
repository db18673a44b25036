"""The trail as operators read it: searched, filtered, and changed by nobody."""

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import TextFilter
from unfold.decorators import display

from apps.audit.domain import State
from apps.audit.models import Entry
from apps.core import acting
from apps.core.console import HistoryAdmin, ending, identifier, to_payer, to_row

PAGES = {
    "account": "quotas_account",
    "api_key": "accounts_apikey",
    "client": "accounts_application",
    "member_limit": "accounts_user",
    "membership": "accounts_user",
    "model": "providers_model",
    "order": "quotas_order",
    "organisation": "orgs_organisation",
    "price": "providers_price",
    "provider": "providers_provider",
    "service_account": "accounts_user",
    "tier": "orgs_tier",
    "upstream": "providers_upstream",
    "user": "accounts_user",
}
"""The page of each kind of subject that has one."""

MOST_SHOWN = 3
"""Changed fields that a line of the list names."""


class ActionFilter(TextFilter):
    """``api_key`` finds all that happened to keys, ``api_key.revoked`` only that."""

    title = "action"
    parameter_name = "action"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Entry]) -> QuerySet[Entry]:
        """Entries whose action begins so."""
        return queryset.filter(action__startswith=self.value()) if self.value() else queryset


class ActorKindFilter(admin.SimpleListFilter):
    """What the actor is."""

    title = "actor"
    parameter_name = "actor_kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """All kinds of actors; asking the table which occur would read all of it."""
        kinds = (acting.PERSON, acting.OPERATOR, acting.API_KEY, acting.CLIENT, acting.SYSTEM)
        return [(kind, kind.replace("_", " ")) for kind in kinds]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Entry]) -> QuerySet[Entry]:
        """Entries of that kind."""
        return queryset.filter(actor_kind=self.value()) if self.value() else queryset


@admin.register(Entry)
class EntryAdmin(HistoryAdmin, ModelAdmin):
    """Who changed what, when, from where, and why."""

    list_display = ("at", "action", "subject", "actor", "changed", "reason")
    list_filter = (ActionFilter, ActorKindFilter, "at")
    list_filter_submit = True
    search_fields: ClassVar = ["subject_id"]
    search_help_text = "Id of a subject, actor or request, or an actor's name"
    ordering = ("-id",)
    fieldsets: ClassVar = [
        (None, {"fields": ["at", "action", "full_subject", "organisation", "reason"]}),
        ("Change", {"fields": ["change"]}),
        ("Actor", {"fields": ["actor", "actor_kind", "ip", "made_by"]}),
    ]
    readonly_fields = ("full_subject", "organisation", "change", "actor", "made_by")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Entry], search_term: str
    ) -> tuple[QuerySet[Entry], bool]:
        """Exact and by index: the trail is too long to look into every row."""
        term = search_term.strip().replace("\x00", "")
        found = Q(subject_id=term) | Q(actor_id=term) | Q(request_id=term) | Q(actor_name=term)
        return (queryset.filter(found) if term else queryset), False

    @display(description="subject", ordering="subject_id")
    def subject(self, entry: Entry) -> str:
        """What was changed, in short, and the way to it."""
        return _to_subject(entry, ending(entry.subject_id) if _is_uuid(entry.subject_id) else entry.subject_id)

    @display(description="subject")
    def full_subject(self, entry: Entry) -> str:
        """What was changed, and the way to it."""
        return _to_subject(entry, entry.subject_id)

    @display(description="actor", ordering="actor_id")
    def actor(self, entry: Entry) -> str:
        """Who changed it, and the way to them where they are a user."""
        name = entry.actor_name or entry.actor_id or entry.actor_kind
        return to_row("accounts_user", entry.actor_id, name) if _is_uuid(entry.actor_id) else identifier(name)

    @display(description="changed")
    def changed(self, entry: Entry) -> str:
        """The first of the fields that changed."""
        names = sorted({*(entry.before or {}), *(entry.after or {})})
        return ", ".join(names[:MOST_SHOWN]) + (", …" if len(names) > MOST_SHOWN else "") or "-"

    @display(description="organisation")
    def organisation(self, entry: Entry) -> str:
        """The organisation whose admins may read the entry."""
        return to_payer("org", entry.org_id) if entry.org_id else "-"

    @display(description="request id")
    def made_by(self, entry: Entry) -> str:
        """The request that made the change."""
        return identifier(entry.request_id) if entry.request_id else "-"

    @display(description="before → after")
    def change(self, entry: Entry) -> str:
        """Each field that changed, as it was and as it became."""
        return comparison(entry.before, entry.after)


def _to_subject(entry: Entry, shown: str) -> str:
    label, page = f"{entry.subject_kind} {shown}", PAGES.get(entry.subject_kind)
    return to_row(page, entry.subject_id, label) if page else identifier(label)


def comparison(before: State | None, after: State | None) -> str:
    """A table of what differs. A side that has no such field shows a dash."""
    names = sorted({*(before or {}), *(after or {})})
    if not names:
        return "-"
    rows = format_html_join(
        "", '<tr><th scope="row">{}</th><td>{}</td><td>{}</td></tr>',
        ((name, _shown(before, name), _shown(after, name)) for name in names),
    )  # fmt: skip
    head = '<th scope="col">Field</th><th scope="col">Before</th><th scope="col">After</th>'
    return format_html('<table class="comparison"><thead><tr>' + head + "</tr></thead><tbody>{}</tbody></table>", rows)


def _shown(state: State | None, name: str) -> str:
    value = (state or {}).get(name)
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
