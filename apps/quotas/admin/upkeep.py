"""What keeps the ledger right and may need a person: spools, entries that could not be booked, closing of leases."""

import json
from collections.abc import Callable
from datetime import date
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.db import DatabaseError
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.decorators import display

from apps.core.acting import actor
from apps.core.console import ask_first, ending, identifier, to_rows
from apps.core.errors import LeakyError
from apps.quotas import control, dead_events, spools
from apps.quotas.admin.ledger import LedgerAdmin, as_uuid
from apps.quotas.models import Control, DaySeal, DeadEvent, Spool


class UpkeepAdmin(LedgerAdmin):
    """Nothing is edited; actions need the permission to change, and a reason."""

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Whoever may change such rows may act on them."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}"))


@admin.register(Spool)
class SpoolAdmin(UpkeepAdmin):
    """Gateway processes' files of calls that the ledger may not know yet. No lease closes before they are covered."""

    matching = staticmethod(lambda term: Q(id=term) | Q(host=term))
    search_fields: ClassVar = ["id"]
    search_help_text = "Spool id or host"
    list_display = ("name", "host", "state_label", "pending", "waiting", "reported_at", "registered_at", "why")
    list_filter: ClassVar = ["state"]
    ordering = ("-reported_at",)
    fields = ("name", "host", "state_label", "pending", "waiting", "registered_at", "reported_at", "ended_at", "why")
    readonly_fields = fields
    actions: ClassVar = ["write_off"]

    @display(description="spool", ordering="id")
    def name(self, spool: Spool) -> str:
        """Its id."""
        return identifier(spool.id)

    @display(
        description="state", ordering="state", label={"OPEN": "success", "CLOSED": "default", "WRITTEN_OFF": "warning"}
    )
    def state_label(self, spool: Spool) -> str:
        """Whether it still counts."""
        return spool.state

    @display(description="oldest waited (s)")
    def waiting(self, spool: Spool) -> str:
        """For how long its oldest entry had waited when it last reported, by the ledger's clock."""
        return "-" if spool.oldest_tick is None else f"{(spool.reported_tick - spool.oldest_tick) / 1000:,.1f}"

    @display(description="why")
    def why(self, spool: Spool) -> str:
        """Why it was written off."""
        return spool.reason or "-"

    @admin.action(description="Write off", permissions=["act"])
    def write_off(self, request: HttpRequest, queryset: QuerySet[Spool]) -> HttpResponse | None:
        """Stop waiting for files that are lost, after asking why."""
        effect = (
            "Leases no longer wait for these files. Calls that only they knew of are not charged. Do this only when "
            "the machine with the file is gone for good: a spool that reports again counts again."
        )
        if page := ask_first(self, request, queryset, "Write these spools off?", effect, reason_needed=True):
            return page
        count = sum(spools.write_off_spool(spool.id, actor().reason) for spool in queryset)
        self.message_user(request, f"{count} spools written off.", messages.SUCCESS)
        return None


@admin.register(Control)
class ControlAdmin(UpkeepAdmin):
    """The ledger's generation, and whether leases may close. The audit job freezes closing when figures differ."""

    search_fields = ()
    list_display = ("row", "state_label", "why", "generation")
    fields = ("state_label", "why", "generation", "tick")
    readonly_fields = fields
    actions: ClassVar = ["thaw"]

    @display(description="ledger")
    def row(self, control_row: Control) -> str:
        """There is one."""
        return str(control_row)

    @display(description="closing of leases", label={"frozen": "danger", "running": "success"})
    def state_label(self, control_row: Control) -> str:
        """Whether leases may close."""
        return "frozen" if control_row.closing_frozen else "running"

    @display(description="frozen because")
    def why(self, control_row: Control) -> str:
        """What was found."""
        return control_row.frozen_because or "-"

    @admin.action(description="Let leases close again", permissions=["act"])
    def thaw(self, request: HttpRequest, queryset: QuerySet[Control]) -> HttpResponse | None:
        """After a difference was explained and put right, after asking why."""
        effect = "Leases in doubt close again, and what they have left goes back to their accounts."
        if page := ask_first(self, request, queryset, "Let leases close again?", effect, reason_needed=True):
            return page
        control.thaw_closing(actor().reason)
        self.message_user(request, "Leases may close again.", messages.SUCCESS)
        return None


@admin.register(DaySeal)
class DaySealAdmin(LedgerAdmin):
    """Each day's transfers under one digest, chained to the day before. ``manage.py ledger_seals --verify`` checks."""

    matching = staticmethod(lambda term: Q(day=as_day(term)))
    search_fields: ClassVar = ["day"]
    search_help_text = "A day, as 2026-11-28"
    list_display = ("day", "count", "digest_begin", "sealed_at")
    date_hierarchy = "day"
    ordering = ("-day",)
    fields = ("day", "count", "digest_hex", "sealed_at")
    readonly_fields = fields

    @display(description="transfers", ordering="transfers")
    def count(self, seal: DaySeal) -> str:
        """How many there were."""
        return f"{seal.transfers:,}"

    @display(description="SHA-256")
    def digest_begin(self, seal: DaySeal) -> str:
        """Enough to tell two apart; the whole is on the day's page."""
        return identifier(f"{bytes(seal.digest).hex()[:16]}…")

    @display(description="SHA-256")
    def digest_hex(self, seal: DaySeal) -> str:
        """As the log has it."""
        return identifier(bytes(seal.digest).hex())


def as_day(term: str) -> date | None:
    """A day that is written so; None, which no seal has, for anything else."""
    try:
        return date.fromisoformat(term)
    except ValueError:
        return None


def dead_events_by(term: str) -> Q:
    """By their own id or the account's, or by the entry's id in its journal."""
    found = as_uuid(term)
    return Q(id=found) | Q(account_id=found) if found else Q(entry=term)


@admin.register(DeadEvent)
class DeadEventAdmin(UpkeepAdmin):
    """Journal entries that could not be booked. Their tokens stay out on a lease until somebody decides."""

    matching = staticmethod(dead_events_by)
    search_fields: ClassVar = ["id"]
    search_help_text = "Account id, id of the event, or of the journal's entry"
    list_display = ("parked_at", "state_label", "account", "error", "tries", "shard", "entry", "decided_at", "why")
    list_filter: ClassVar = ["state", "shard"]
    ordering = ("-parked_at",)
    fieldsets: ClassVar = [
        (None, {"fields": ["id", "state_label", "account", "error", "tries"]}),
        ("Entry", {"fields": ["shard", "journal", "entry", "content"]}),
        ("Decision", {"fields": ["parked_at", "decided_at", "why"]}),
    ]
    readonly_fields = ("state_label", "account", "content", "why")
    actions: ClassVar = ["replay", "discard"]

    @display(
        description="state",
        ordering="state",
        label={"PARKED": "danger", "REPLAYED": "success", "DISCARDED": "default"},
    )
    def state_label(self, event: DeadEvent) -> str:
        """Whether somebody has decided."""
        return event.state

    @display(description="account", ordering="account_id")
    def account(self, event: DeadEvent) -> str:
        """The way to the account, where it could be read."""
        if event.account_id is None:
            return "-"
        return to_rows("quotas_account", event.account_id, f"account {ending(event.account_id)}")

    @display(description="content")
    def content(self, event: Any) -> str:
        """The entry as it was."""
        return identifier(json.dumps(event.fields, sort_keys=True))

    @display(description="why")
    def why(self, event: DeadEvent) -> str:
        """What the decision said."""
        return event.reason or "-"

    @admin.action(description="Replay: book them after all", permissions=["act"])
    def replay(self, request: HttpRequest, queryset: QuerySet[DeadEvent]) -> HttpResponse | None:
        """Book entries once what kept them out was put right, after asking why."""
        effect = "Each entry is booked as if it had just come. One that cannot be booked still stays parked."
        if page := ask_first(self, request, queryset, "Replay these events?", effect, reason_needed=True):
            return page
        for event in queryset:
            self._decide(request, event, dead_events.replay_dead_event, "Booked")
        return None

    @admin.action(description="Discard", permissions=["act"])
    def discard(self, request: HttpRequest, queryset: QuerySet[DeadEvent]) -> HttpResponse | None:
        """Let entries go, after asking why."""
        effect = "What these entries tell of is not charged to anybody. This cannot be undone."
        if page := ask_first(self, request, queryset, "Discard these events?", effect, reason_needed=True):
            return page
        for event in queryset:
            self._decide(request, event, dead_events.discard_dead_event, "Discarded")
        return None

    def _decide(self, request: HttpRequest, event: DeadEvent, decision: Callable[[UUID, str], None], done: str) -> None:
        """Do it, and say what became of it."""
        try:
            decision(event.id, actor().reason)
        except (LeakyError, DatabaseError, LookupError, ValueError, TypeError) as error:
            self.message_user(request, f"{event}: {error}", messages.ERROR)
        else:
            self.message_user(request, f"{done}: {event}", messages.SUCCESS)
