"""Writes of tiers, their allowances, and who has which. Operators make them; gateways follow within a second."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db import transaction

from apps.audit.api import State, Subject, record, state_of
from apps.config.api import CREDENTIALS, TIERS, touch
from apps.orgs.models import Allowance, Tier, TierAssignment

_LIMITS = (
    "bucket_capacity", "leak_rate", "default_max_output", "hold_step", "capacity_multiplier", "leak_multiplier",
    "quota_cap", "requests_per_minute", "concurrency", "strategy", "window_seconds", "mode", "max_wait_ms", "priority",
    "is_default",
)  # fmt: skip


@transaction.atomic
def save_tier(tier: Tier) -> None:
    """Write a tier's limits; calls that come after the gateways' next look are held to them."""
    present = Tier.objects.select_for_update().filter(pk=tier.pk).first()
    before = _state(present) if present else None
    tier.save()
    record("tier.changed" if present else "tier.created", _subject(tier.pk), before, _state(tier))
    # A role may be named like the new tier, and of several tiers the priority decides: principals change with both.
    if present is None or present.priority != tier.priority:
        touch(CREDENTIALS)
    touch(TIERS)


@transaction.atomic
def delete_tier(tier: Tier) -> None:
    """Delete a tier that is neither assigned nor the default.

    Raises:
        ProtectedError: it is assigned to somebody.
        ValueError: it is the default tier.
    """
    if Tier.objects.select_for_update().get(pk=tier.pk).is_default:
        raise ValueError("the default tier cannot be deleted; make another one the default first")
    name, before = tier.pk, _state(tier)
    tier.delete()
    record("tier.deleted", _subject(name), before, None)
    _touch_both()


@transaction.atomic
def make_default(tier: Tier) -> None:
    """Make this the tier of everybody who has been assigned none. Principals name their tier, so they change too."""
    before = Tier.objects.select_for_update().filter(is_default=True).values_list("name", flat=True).first()
    Tier.objects.filter(is_default=True).update(is_default=False)
    Tier.objects.filter(pk=tier.pk).update(is_default=True)
    record("tier.made_default", _subject(tier.pk), {"default": before}, {"default": tier.pk})
    _touch_both()


@transaction.atomic
def save_allowances(tier: Tier, saved: Iterable[Allowance], deleted: Iterable[Allowance]) -> None:
    """Write the free tokens of a tier."""
    before = _allowances(tier)
    for allowance in deleted:
        allowance.delete()
    for allowance in saved:
        allowance.save()
    if before != (after := _allowances(tier)):
        record("tier.allowances_changed", _subject(tier.pk), before, after)
        touch(TIERS)


@transaction.atomic
def save_assignment(assignment: TierAssignment) -> None:
    """Give a payer a tier of its own, or change for how long."""
    present = TierAssignment.objects.select_for_update().filter(pk=assignment.pk).first()
    before = _assigned(present) if present else None
    assignment.save()
    action = "tier_assignment.changed" if present else "tier_assignment.created"
    record(action, _assignee(assignment), before, _assigned(assignment))
    touch(CREDENTIALS, *(_payer(row) for row in (present, assignment) if row))


@transaction.atomic
def delete_assignment(assignment: TierAssignment) -> None:
    """Take a payer's own tier away."""
    record("tier_assignment.removed", _assignee(assignment), _assigned(assignment), None)
    assignment.delete()
    touch(CREDENTIALS, _payer(assignment))


@transaction.atomic
def assign_tier(payer_kind: str, payer_id: UUID, tier: str, *, ends_at: datetime | None = None) -> None:
    """Give a payer a tier of its own, until ``ends_at`` or without end. One that it has so already is left alone."""
    present = TierAssignment.objects.filter(payer_kind=payer_kind, payer_id=payer_id, tier=tier).first()
    if present is not None and present.ends_at == ends_at:
        return
    assignment = present or TierAssignment(payer_kind=payer_kind, payer_id=payer_id, tier_id=tier)
    assignment.ends_at = ends_at
    save_assignment(assignment)


def _touch_both() -> None:
    touch(CREDENTIALS)
    touch(TIERS)


def _subject(name: str) -> Subject:
    return Subject("tier", name)


def _state(tier: Tier) -> State:
    return state_of(tier, *_LIMITS)


def _allowances(tier: Tier) -> State:
    rows = Allowance.objects.filter(tier=tier.pk).order_by("provider", "window")
    return {f"{row.provider} {row.window}": row.tokens for row in rows}


def _assignee(assignment: TierAssignment) -> Subject:
    org_id = assignment.payer_id if assignment.payer_kind == TierAssignment.PayerKind.ORG else None
    return Subject("tier_assignment", str(assignment.payer_id), org_id)


def _payer(assignment: TierAssignment) -> str:
    """Whom gateways then forget: payer kinds are called like their subjects."""
    return f"{assignment.payer_kind}:{assignment.payer_id}"


def _assigned(assignment: TierAssignment) -> State:
    return state_of(assignment, "payer_kind", "payer_id", "tier", "ends_at")
