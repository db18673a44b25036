"""Whom the gateways forget after each change of organisations, members and tiers."""

from collections.abc import Callable

import pytest

from apps.accounts.models import User
from apps.config.api import CREDENTIALS, changes, versions
from apps.orgs import memberships, services, tiers
from apps.orgs.api import assign_tier, join, open_organisation
from apps.orgs.domain import OWNER
from apps.orgs.models import Membership, Organisation, Tier, TierAssignment
from tests.integration.orgs.calls import person

pytestmark = pytest.mark.django_db


def _forgotten(change: Callable[[], object]) -> set[str] | None:
    before = versions().get(CREDENTIALS, 0)
    change()
    return changes(CREDENTIALS, before, versions().get(CREDENTIALS, 0))


@pytest.fixture
def ada() -> User:
    return person("ada")


@pytest.fixture
def org() -> Organisation:
    return open_organisation("engines", "Analytical Engines")


def test_members_are_forgotten_alone(ada: User, org: Organisation) -> None:
    her = {f"user:{ada.pk}"}
    assert _forgotten(lambda: services.create(ada, "Own", "own")) == her
    assert _forgotten(lambda: join(org, ada.pk)) == her
    assert _forgotten(lambda: join(org, ada.pk)) == set(), "nothing changes"
    assert _forgotten(lambda: join(org, ada.pk, OWNER)) == her
    assert _forgotten(lambda: memberships.end(Membership.objects.get(org=org))) == her


def test_who_lets_an_organisation_pay_is_forgotten_with_it(org: Organisation) -> None:
    its = {f"org:{org.pk}"}
    assert _forgotten(lambda: services.save(org)) == its
    assert _forgotten(lambda: services.suspend([org.pk], suspended=True)) == its
    assert _forgotten(lambda: services.suspend([org.pk], suspended=True)) == set()
    assert _forgotten(lambda: services.delete(org)) == its


def test_a_payers_tier_concerns_the_payer_and_the_former_one(ada: User, org: Organisation) -> None:
    assert _forgotten(lambda: assign_tier("org", org.pk, "ADMIN")) == {f"org:{org.pk}"}
    assignment = TierAssignment.objects.get(payer_id=org.pk)
    assignment.payer_kind, assignment.payer_id = TierAssignment.PayerKind.USER, ada.pk
    assert _forgotten(lambda: tiers.save_assignment(assignment)) == {f"org:{org.pk}", f"user:{ada.pk}"}
    assert _forgotten(lambda: tiers.delete_assignment(assignment)) == {f"user:{ada.pk}"}


def test_tiers_that_decide_who_has_which_concern_everybody() -> None:
    gold = Tier(name="GOLD", bucket_capacity=1000, leak_rate=1000, priority=5)
    assert _forgotten(lambda: tiers.save_tier(gold)) is None
    gold.bucket_capacity = 2000
    assert _forgotten(lambda: tiers.save_tier(gold)) == set(), "limits are not part of what is remembered of a caller"
    gold.priority = 500
    assert _forgotten(lambda: tiers.save_tier(gold)) is None
    assert _forgotten(lambda: tiers.make_default(gold)) is None
    tiers.make_default(Tier.objects.get(pk="USER"))
    assert _forgotten(lambda: tiers.delete_tier(gold)) is None
