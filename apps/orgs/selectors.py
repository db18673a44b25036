"""Reads of tiers, memberships and principals."""

from collections.abc import Mapping
from uuid import UUID

from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from apps.accounts.api import KeyRecord, find_key
from apps.core.errors import AccountSuspended, ConfigurationError, InvalidCredential
from apps.orgs import domain
from apps.orgs.models import Membership, Tier, TierAssignment


def tiers() -> Mapping[str, domain.Tier]:
    """All tiers by name. One query."""
    return {tier.name: _value(tier) for tier in Tier.objects.all()}


def principal_of(presented_key: str) -> domain.Principal:
    """Who calls with this key, who pays, and the payer's tier. At most three queries.

    Raises:
        InvalidCredential: the key is not good, or its owner is no longer a member of the organisation that pays.
        AccountSuspended: the key is good, the organisation that pays is suspended.
    """
    key = find_key(presented_key)
    if key.org_id is not None:
        _insist_on_membership(key)
    payer_kind, payer_id = ("user", key.user_id) if key.org_id is None else ("org", key.org_id)
    return domain.Principal(
        key_id=key.id,
        user_id=key.user_id,
        payer_kind=payer_kind,
        payer_id=payer_id,
        org_id=key.org_id,
        tier=tier_of(payer_kind, payer_id),
        allowed_models=key.allowed_models,
        expires_at=key.expires_at,
    )


def tier_of(payer_kind: str, payer_id: UUID) -> str:
    """Name of a payer's tier: of those assigned and in force the one with the highest priority, else the default.

    Raises:
        ConfigurationError: nothing is assigned and there is no default tier.
    """
    in_force = TierAssignment.objects.filter(
        Q(ends_at=None) | Q(ends_at__gt=Now()), tier=OuterRef("pk"), payer_kind=payer_kind, payer_id=payer_id
    )
    candidates = Tier.objects.annotate(assigned=Exists(in_force)).filter(Q(assigned=True) | Q(is_default=True))
    name = candidates.order_by("-assigned", "-priority", "name").values_list("name", flat=True).first()
    if name is None:
        raise ConfigurationError("there is no default tier")
    return name


def is_member(org_id: UUID, user_id: UUID) -> bool:
    """Whether the user may let the organisation pay."""
    return Membership.objects.filter(org=org_id, user=user_id).exists()


def _insist_on_membership(key: KeyRecord) -> None:
    membership = Membership.objects.filter(org=key.org_id, user=key.user_id).values_list("org__suspended").first()
    if membership is None:
        raise InvalidCredential
    if membership[0]:
        raise AccountSuspended


def _value(row: Tier) -> domain.Tier:
    return domain.Tier(row.name, row.bucket_capacity, row.leak_rate, row.default_max_output, row.priority)
