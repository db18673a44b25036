"""Sets of tiers that an installation can be given."""

import pytest
from django.core.management import CommandError, call_command

from apps.audit.models import Entry
from apps.config.api import TIERS, versions
from apps.orgs import tiers as tier_services
from apps.orgs.api import tiers
from apps.orgs.models import Allowance, Tier

pytestmark = pytest.mark.django_db


def test_the_originals_tiers_and_back_again() -> None:
    shipped, seen = tiers(), versions().get(TIERS, 0)
    Allowance.objects.create(tier_id="USER", provider="openai", tokens=5)
    call_command("load_tiers", "compat")
    user, admin = tiers()["USER"], tiers()["ADMIN"]
    assert (user.bucket_capacity, user.leak_rate, user.quota_cap, user.priority) == (1_000, 10_000, 100_000, 10)
    assert (admin.bucket_capacity, admin.leak_rate, admin.quota_cap, admin.priority) == (2_000, 20_000, 500_000, 100)
    assert user.allowances == (("openai", "month", 5),), "allowances stay"
    assert Tier.objects.get(is_default=True).name == "USER"
    assert versions()[TIERS] > seen
    entry = Entry.objects.filter(action="tier.changed", subject_id="USER").get()
    assert (entry.reason, entry.before["bucket_capacity"]) == ("tiers of the profile compat", 100_000)
    Allowance.objects.all().delete()
    call_command("load_tiers", "default")
    assert tiers() == shipped


def test_a_profile_brings_back_a_deleted_tier_and_leaves_the_default_alone() -> None:
    tier_services.make_default(Tier.objects.get(pk="ADMIN"))
    tier_services.delete_tier(Tier.objects.get(pk="USER"))
    call_command("load_tiers", "compat")
    assert tiers()["USER"].bucket_capacity == 1_000
    assert Tier.objects.get(is_default=True).name == "ADMIN"


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(CommandError):
        call_command("load_tiers", "other")
