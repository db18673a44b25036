"""Every change of a tier, an allowance and an assignment leaves who, when, before and after."""

from datetime import UTC, datetime

import pytest

from apps.audit.models import Entry
from apps.core.acting import OPERATOR, Actor, acting
from apps.orgs import services, tiers
from apps.orgs.api import assign_tier, open_organisation
from apps.orgs.models import Allowance, Tier, TierAssignment

pytestmark = pytest.mark.django_db


def _last() -> tuple[str, str, object, object]:
    entry = Entry.objects.latest("id")
    assert (entry.actor_kind, entry.actor_name) == (OPERATOR, "root")
    return entry.action, entry.subject_id, entry.before, entry.after


def test_tiers() -> None:
    with acting(Actor(OPERATOR, "1", "root")):
        gold = Tier(name="GOLD", bucket_capacity=1000, leak_rate=1000)
        tiers.save_tier(gold)
        assert _last()[:3] == ("tier.created", "GOLD", None)
        gold.quota_cap = 5
        tiers.save_tier(gold)
        assert _last() == ("tier.changed", "GOLD", {"quota_cap": None}, {"quota_cap": 5})
        tiers.save_tier(gold)
        assert Entry.objects.filter(action="tier.changed").count() == 1, "nothing has changed"
        tiers.save_allowances(gold, [Allowance(tier=gold, provider="openai", tokens=5)], [])
        assert _last() == ("tier.allowances_changed", "GOLD", {}, {"openai month": 5})
        tiers.save_allowances(gold, [], list(gold.allowances.all()))
        assert _last() == ("tier.allowances_changed", "GOLD", {"openai month": 5}, {})
        tiers.make_default(gold)
        assert _last() == ("tier.made_default", "GOLD", {"default": "USER"}, {"default": "GOLD"})
        tiers.make_default(Tier.objects.get(pk="USER"))
        tiers.delete_tier(gold)
        assert _last()[:2] == ("tier.deleted", "GOLD")


def test_assignments() -> None:
    org, end = open_organisation("engines", "Engines"), datetime(2100, 1, 1, tzinfo=UTC)
    with acting(Actor(OPERATOR, "1", "root")):
        assign_tier("org", org.pk, "ADMIN")
        assert _last()[:3] == ("tier_assignment.created", str(org.pk), None)
        assert Entry.objects.latest("id").org_id == org.pk
        assign_tier("org", org.pk, "ADMIN", ends_at=end)
        assert _last()[2:] == ({"ends_at": None}, {"ends_at": "2100-01-01T00:00:00Z"})
        tiers.delete_assignment(TierAssignment.objects.get(payer_id=org.pk))
        assert _last()[:2] == ("tier_assignment.removed", str(org.pk))


def test_organisations() -> None:
    org = open_organisation("engines", "Engines")
    with acting(Actor(OPERATOR, "1", "root")):
        services.suspend([org.pk], suspended=True)
        assert _last() == ("organisation.suspended", str(org.pk), {"suspended": False}, {"suspended": True})
        services.suspend([org.pk], suspended=False)
        assert _last()[0] == "organisation.reopened"
        org_id = str(org.pk)
        services.delete(org)
        assert _last()[:2] == ("organisation.deleted", org_id)
