"""From a key to who pays and within which limits."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from pytest_django import DjangoAssertNumQueries

from apps.accounts.api import create_api_key, open_user
from apps.accounts.models import User
from apps.config.api import CREDENTIALS, TIERS, versions
from apps.core.errors import AccountSuspended, InvalidCredential
from apps.orgs import memberships, services
from apps.orgs import tiers as tier_services
from apps.orgs.api import assign_tier, join, open_organisation, principal_of, tier_of, tiers
from apps.orgs.domain import MemberLimit
from apps.orgs.models import MemberLimit as LimitRow
from apps.orgs.models import Membership, Organisation, Tier, TierAssignment

pytestmark = pytest.mark.django_db


@pytest.fixture
def user() -> User:
    return open_user("ada", "ada@example.test", "a long enough password")


@pytest.fixture
def org(user: User) -> Organisation:
    org = open_organisation("engines", "Analytical Engines")
    join(org, user.pk)
    return org


def test_shipped_tiers() -> None:
    user, admin = tiers()["USER"], tiers()["ADMIN"]
    assert (user.bucket_capacity, user.leak_rate, user.default_max_output) == (100_000, 1_000_000, 4096)
    assert (admin.bucket_capacity, admin.leak_rate, admin.default_max_output) == (200_000, 2_000_000, 4096)
    assert Tier.objects.get(is_default=True).name == "USER"


def test_a_tier_says_how_its_bucket_counts() -> None:
    user = tiers()["USER"]
    assert (user.strategy, user.window_seconds, user.mode, user.max_wait_ms) == ("LEAKY_BUCKET", 60, "police", 10_000)
    shaped = Tier(name="CALM", bucket_capacity=10, leak_rate=1, mode="shape", max_wait_ms=5)
    tier_services.save_tier(shaped)
    assert (tiers()["CALM"].mode, tiers()["CALM"].max_wait_ms) == ("shape", 5)


def test_only_a_leaky_bucket_lets_calls_wait() -> None:
    wrong = Tier(name="CALM", bucket_capacity=10, leak_rate=1, mode="shape", strategy="FIXED_WINDOW")
    with pytest.raises(ValidationError, match="Only a leaky bucket"):
        wrong.full_clean()
    with pytest.raises(IntegrityError, match="orgs_tier_shape"), transaction.atomic():
        wrong.save()


def test_the_owner_pays(user: User, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    key, text = create_api_key(user, "laptop")
    with django_assert_num_queries(4):
        principal = principal_of(text)
    assert (principal.payer_kind, principal.payer_id, principal.org_id) == ("user", user.pk, None)
    assert (principal.key_id, principal.tier, principal.allowed_models) == (key.pk, "USER", None)


def test_the_organisation_pays(
    user: User, org: Organisation, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    assign_tier("org", org.pk, "ADMIN")
    _, text = create_api_key(user, "server", org_id=org.pk)
    with django_assert_num_queries(5):
        principal = principal_of(text)
    assert (principal.payer_kind, principal.payer_id, principal.org_id) == ("org", org.pk, org.pk)
    assert principal.tier == "ADMIN"


def test_a_former_member_cannot_let_it_pay(user: User, org: Organisation) -> None:
    _, text = create_api_key(user, "server", org_id=org.pk)
    memberships.end(Membership.objects.get(org=org, user=user))
    with pytest.raises(InvalidCredential):
        principal_of(text)


def test_a_member_carries_their_limits_in_the_organisation_that_pays(
    user: User, org: Organisation, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    membership = Membership.objects.get(org=org, user=user)
    LimitRow.objects.create(membership=membership, provider="openai", window="day", tokens=5)
    LimitRow.objects.create(membership=membership, window="month", tokens=100)
    limits = (MemberLimit(None, "month", 100), MemberLimit("openai", "day", 5))
    _, bound = create_api_key(user, "server", org_id=org.pk)
    with django_assert_num_queries(5):
        assert principal_of(bound).member_limits == limits
    _, own = create_api_key(user, "laptop")
    with django_assert_num_queries(5):
        assert principal_of(own, org.pk).member_limits == limits
    assert principal_of(own).member_limits == (), "for their own money the organisation sets no limit"


def test_a_suspended_organisation_is_told_so(user: User, org: Organisation) -> None:
    _, text = create_api_key(user, "server", org_id=org.pk)
    assert services.suspend([org.pk], suspended=True) == 1
    assert services.suspend([org.pk], suspended=True) == 0
    with pytest.raises(AccountSuspended):
        principal_of(text)
    services.suspend([org.pk], suspended=False)
    assert principal_of(text).org_id == org.pk


def test_an_assigned_tier_counts_while_it_is_in_force(user: User) -> None:
    low = Tier(name="TRIAL", bucket_capacity=10, leak_rate=1, priority=0)
    tier_services.save_tier(low)
    assign_tier("user", user.pk, "TRIAL")
    assert tier_of("user", user.pk) == "TRIAL", "a payer's own tier counts, also below the default"
    assign_tier("user", user.pk, "ADMIN")
    assert tier_of("user", user.pk) == "ADMIN"
    TierAssignment.objects.filter(payer_id=user.pk).update(ends_at=Now() - timedelta(milliseconds=1))
    assert tier_of("user", user.pk) == "USER"


def test_the_default_tier_stays_one(user: User) -> None:
    tier_services.make_default(Tier.objects.get(pk="ADMIN"))
    assert list(Tier.objects.filter(is_default=True).values_list("name", flat=True)) == ["ADMIN"]
    assert tier_of("user", user.pk) == "ADMIN"
    with pytest.raises(ValueError, match="default"):
        tier_services.delete_tier(Tier.objects.get(pk="ADMIN"))


def test_every_write_raises_its_version(user: User, org: Organisation) -> None:
    before = versions()
    tier_services.save_tier(Tier.objects.get(pk="USER"))
    assert versions()[TIERS] == before.get(TIERS, 0) + 1
    services.save(org)
    join(org, user.pk)
    join(org, user.pk, Membership.Role.ADMIN)
    assign_tier("org", org.pk, "USER")
    assert versions().get(CREDENTIALS, 0) == before.get(CREDENTIALS, 0) + 3, (
        "joining again in the same role changes nothing"
    )


def test_the_command_prints_a_key_that_works(user: User, org: Organisation, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("create_api_key", user="ada", name="laptop", org=org.pk)
    assert principal_of(capsys.readouterr().out.strip()).payer_id == org.pk


def test_the_command_refuses_strangers(user: User) -> None:
    with pytest.raises(CommandError, match="not a member"):
        call_command("create_api_key", user="ada", name="laptop", org=user.pk)
    with pytest.raises(CommandError, match="nobody"):
        call_command("create_api_key", user="nobody", name="laptop")
