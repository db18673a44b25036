"""The only door to organisations, memberships, tiers and principals."""

from apps.orgs.domain import Principal, Tier
from apps.orgs.selectors import is_member, principal_of, tier_of, tiers
from apps.orgs.services import assign_tier, join, open_organisation

__all__ = [
    "Principal",
    "Tier",
    "assign_tier",
    "is_member",
    "join",
    "open_organisation",
    "principal_of",
    "tier_of",
    "tiers",
]
