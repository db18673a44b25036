"""Writes of organisations, memberships and tiers. Each raises the version of what gateways remember of it."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import transaction

from apps.config.api import CREDENTIALS, TIERS, touch
from apps.orgs.models import Membership, Organisation, Tier, TierAssignment


@transaction.atomic
def save(row: Organisation | Membership | TierAssignment) -> None:
    """Write an organisation, a membership or an assigned tier: all decide who a caller is and what they may."""
    row.save()
    touch(CREDENTIALS)


@transaction.atomic
def delete(row: Organisation | Membership | TierAssignment) -> None:
    """Delete an organisation without members, a membership, or an assigned tier.

    Raises:
        ProtectedError: the organisation has members.
    """
    row.delete()
    touch(CREDENTIALS)


@transaction.atomic
def suspend(org_ids: Collection[UUID], *, suspended: bool) -> int:
    """Refuse, or accept again, the calls that these organisations would pay; returns how many changed."""
    changed = Organisation.objects.filter(pk__in=org_ids).exclude(suspended=suspended).update(suspended=suspended)
    if changed:
        touch(CREDENTIALS)
    return changed


@transaction.atomic
def save_tier(tier: Tier) -> None:
    """Write a tier's limits; calls that come after the gateways' next look are held to them."""
    tier.save()
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
    tier.delete()
    touch(TIERS)


@transaction.atomic
def make_default(tier: Tier) -> None:
    """Make this the tier of everybody who has been assigned none. Principals name their tier, so they change too."""
    Tier.objects.filter(is_default=True).update(is_default=False)
    Tier.objects.filter(pk=tier.pk).update(is_default=True)
    touch(CREDENTIALS)
    touch(TIERS)


def open_organisation(slug: str, name: str) -> Organisation:
    """The organisation with this slug, made if missing."""
    return Organisation.objects.filter(slug=slug).first() or _new_organisation(slug, name)


def join(org: Organisation, user_id: UUID, role: str = Membership.Role.MEMBER) -> None:
    """Make a user a member, or change their role."""
    membership = Membership.objects.filter(org=org, user_id=user_id).first() or Membership(org=org, user_id=user_id)
    if membership.pk is None or membership.role != role:
        membership.role = role
        save(membership)


@transaction.atomic
def assign_tier(payer_kind: str, payer_id: UUID, tier: str, *, ends_at: datetime | None = None) -> None:
    """Give a payer a tier of its own, until ``ends_at`` or without end. One that it has so already is left alone."""
    present = TierAssignment.objects.filter(payer_kind=payer_kind, payer_id=payer_id, tier=tier, ends_at=ends_at)
    if present.exists():
        return
    TierAssignment.objects.update_or_create(
        payer_kind=payer_kind, payer_id=payer_id, tier_id=tier, defaults={"ends_at": ends_at}
    )
    touch(CREDENTIALS)


def _new_organisation(slug: str, name: str) -> Organisation:
    org = Organisation(slug=slug, name=name)
    save(org)
    return org
