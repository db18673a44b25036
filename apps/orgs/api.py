"""The only door to organisations, memberships, tiers and principals."""

from apps.orgs.domain import (
    InvitationForAnotherAddress,
    MemberLimit,
    Principal,
    Standing,
    Tier,
    budgets_of,
)
from apps.orgs.memberships import accept_invitation, join
from apps.orgs.selectors import (
    is_member,
    is_organisation,
    organisations_for,
    principal_of,
    standing_for,
    tier_of,
    tiers,
)
from apps.orgs.services import open_organisation
from apps.orgs.tiers import assign_tier

__all__ = [
    "InvitationForAnotherAddress",
    "MemberLimit",
    "Principal",
    "Standing",
    "Tier",
    "accept_invitation",
    "assign_tier",
    "budgets_of",
    "is_member",
    "is_organisation",
    "join",
    "open_organisation",
    "organisations_for",
    "principal_of",
    "standing_for",
    "tier_of",
    "tiers",
]
