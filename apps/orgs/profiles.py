"""Sets of tiers that an installation can be given: what a new one has, and what the original had (CONTRACT, 3.4)."""

from collections.abc import Mapping
from typing import Any

from apps.core.acting import because
from apps.orgs import tiers
from apps.orgs.models import Tier

PROFILES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "default": {
        "USER": {"bucket_capacity": 100_000, "leak_rate": 1_000_000, "priority": 10},
        "ADMIN": {"bucket_capacity": 200_000, "leak_rate": 2_000_000, "priority": 100},
    },
    "compat": {
        "USER": {"bucket_capacity": 1_000, "leak_rate": 10_000, "priority": 10, "quota_cap": 100_000},
        "ADMIN": {
            "bucket_capacity": 1_000, "capacity_multiplier": 2_000, "leak_rate": 10_000, "leak_multiplier": 2_000,
            "priority": 100, "quota_cap": 500_000,
        },
    },
}  # fmt: skip
"""Limits of each tier of a profile; those that it does not name are as in a new tier."""


def load(name: str) -> list[str]:
    """Give the tiers of a profile its limits, making those that are missing; returns their names.

    Other tiers, allowances, assignments and which tier is the default stay. Each tier is a transaction of its own: what
    was cut short is finished by loading again.

    Raises:
        KeyError: there is no such profile.
    """
    profile = PROFILES[name]
    with because(f"tiers of the profile {name}"):
        for tier, limits in profile.items():
            is_default = Tier.objects.filter(pk=tier, is_default=True).exists()
            tiers.save_tier(Tier(name=tier, is_default=is_default, **limits))
    return list(profile)
